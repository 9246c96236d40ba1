"""ipywidgets, read from the state that the notebook holds: what they showed when it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from pytest_nbci.pages import sanitise
from pytest_nbci.pages.text import one_line, text_of

MIME = "application/vnd.jupyter.widget-view+json"

States = Mapping[str, Mapping[str, Any]]
"""Model id to the model's state."""

_DEEPEST = 20
_BOXES = {
    "HBoxModel": "row",
    **dict.fromkeys(("VBoxModel", "BoxModel", "GridBoxModel"), "column"),
    **dict.fromkeys(("TabModel", "AccordionModel", "StackModel"), "column"),
}


def states(metadata: Mapping[str, Any]) -> States:
    """The widget states in a notebook's metadata."""
    saved = metadata.get("widgets")
    saved = (
        saved.get("application/vnd.jupyter.widget-state+json") if isinstance(saved, dict) else {}
    )
    models = saved.get("state") if isinstance(saved, dict) else {}
    return {
        str(key): {**model["state"], "_model": one_line(model.get("model_name"), 80)}
        for key, model in (models.items() if isinstance(models, dict) else ())
        if isinstance(model, dict) and isinstance(model.get("state"), dict)
    }


def draw(view: object, known: States) -> Markup | None:
    """A widget as it stood, or None when its state was not saved."""
    model = view.get("model_id") if isinstance(view, dict) else None
    if model not in known:
        return None
    return Markup('<div class="widget">{}</div>').format(_widget(str(model), known, 0))


def _widget(model: str, known: States, depth: int) -> Markup:
    state = known.get(model.removeprefix("IPY_MODEL_"))
    if state is None or depth > _DEEPEST:
        return Markup()
    name = state["_model"]
    if name in _BOXES:
        inner = Markup().join(
            _widget(child, known, depth + 1)
            for child in _list(state.get("children"))
            if isinstance(child, str)
        )
        return Markup('<div class="widget-{}">{}</div>').format(_BOXES[name], inner)
    return Markup("<span>{} {}</span>").format(_text(state.get("description")), _value(name, state))


def _value(name: str, state: Mapping[str, Any]) -> Markup:
    """What a widget shows beside its description."""
    value = state.get("value")
    match name:
        case "HTMLModel" | "HTMLMathModel":
            return sanitise.clean(text_of(value))
        case "FloatProgressModel" | "IntProgressModel":
            low, high = _number(state.get("min"), 0), _number(state.get("max"), 100)
            share = (_number(value, 0) - low) / (high - low) if high > low else 0.0
            return Markup('<progress max="1" value="{:.4f}"></progress>').format(
                min(max(share, 0.0), 1.0)
            )
        case "ButtonModel":
            return Markup()
        case "LabelModel":
            return escape(_text(value))
    if value is None:
        value = _chosen(state) or name.removesuffix("Model")
    return Markup('<output class="widget-value">{}</output>').format(_text(value))


def _chosen(state: Mapping[str, Any]) -> str:
    """The labels that a selection has picked."""
    labels, index = _list(state.get("_options_labels")), state.get("index")
    picked = index if isinstance(index, list) else [index]
    return ", ".join(
        one_line(labels[place], 200)
        for place in picked
        if isinstance(place, int) and 0 <= place < len(labels)
    )


def _text(value: object) -> str:
    return one_line(value, 2000) if value is not None else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
