"use strict";
// The page's only script. It copies the line that reproduces the run, and it makes the sandboxed
// frames in which figures and scripts of a notebook live. It never puts anything of a notebook
// into the page itself, and believes nothing that a frame says but a height.
(() => {
  const MOST_FRAMES = 12; // alive at once; 100 plotly frames took 1.6 GB
  const LOWEST = 40, HIGHEST = 4000; // pixels
  const frames = new Map(); // iframe -> {host, payload, libraries}

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).blob();
  };
  const unpacked = new Map(); // kind -> promise of blobs
  const librariesFor = (kind) => {
    if (!unpacked.has(kind)) {
      const blocks = document.querySelectorAll(`script.library[data-kind="${CSS.escape(kind)}"]`);
      unpacked.set(kind, Promise.all(Array.from(blocks, (block) => unpack(block.textContent))));
    }
    return unpacked.get(kind);
  };

  const open = (host) => {
    if (host.querySelector(":scope > iframe")) return;
    const source = document.getElementById("frame-script").textContent;
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts");
    frame.setAttribute("referrerpolicy", "no-referrer");
    frame.title = host.dataset.label || "output";
    frame.style.height = `${Math.max(host.offsetHeight, host.dataset.kind === "html" ? 200 : 0)}px`;
    frames.set(frame, host);
    frame.srcdoc =
      '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>output</title>' +
      `<style>html,body{margin:0;background:#fff;color:#1c2128;font:14px system-ui,sans-serif}` +
      `body{padding:4px;overflow-x:auto}</style></head><body><script>${source}</scr` + "ipt></body></html>";
    host.append(frame);
    host.classList.add("opened");
    retire();
  };

  const close = (frame) => {
    const host = frames.get(frame);
    frames.delete(frame);
    host.style.minHeight = `${host.offsetHeight}px`; // nothing moves when it goes
    frame.remove();
    host.classList.remove("opened");
    watcher.observe(host);
  };

  const retire = () => {
    const middle = (element) => {
      const box = element.getBoundingClientRect();
      return Math.abs(box.top + box.height / 2 - innerHeight / 2);
    };
    const figures = [...frames.keys()].filter((frame) => frames.get(frame).dataset.kind !== "html");
    if (figures.length <= MOST_FRAMES) return;
    figures.sort((one, other) => middle(other) - middle(one));
    figures.slice(0, figures.length - MOST_FRAMES).forEach(close);
  };

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        open(target);
      }
    },
    { rootMargin: "400px 0px" },
  );

  addEventListener("message", async (event) => {
    const frame = [...frames.keys()].find((known) => known.contentWindow === event.source);
    if (!frame || typeof event.data !== "object" || event.data === null) return;
    const host = frames.get(frame);
    if (event.data.nbci === "ready" && !frame.dataset.served) {
      frame.dataset.served = "yes";
      const kind = host.dataset.kind;
      const payload = host.querySelector("script.payload").textContent;
      const libraries = kind === "html" ? [] : await librariesFor(kind);
      frame.contentWindow?.postMessage({ kind, payload, libraries }, "*");
    } else if (event.data.nbci === "height" && Number.isFinite(event.data.height)) {
      const height = Math.min(Math.max(Math.ceil(event.data.height), LOWEST), HIGHEST);
      frame.style.height = `${height}px`;
      host.style.minHeight = "";
    }
  });

  for (const host of document.querySelectorAll("figure.live")) watcher.observe(host);
  for (const host of document.querySelectorAll(".runnable")) {
    const line = host.querySelector(".run");
    line.hidden = false;
    line.querySelector("button").addEventListener("click", () => {
      line.hidden = true;
      open(host);
    });
  }

  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = document.getElementById(button.dataset.copy);
      let done = true;
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        getSelection().selectAllChildren(code); // no clipboard without https: by selection
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // A link to a cell opens what is folded around it.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let box = target; box; box = box.parentElement) {
      if (box.localName === "details") box.open = true;
    }
  };
  addEventListener("hashchange", unfold);
  if (location.hash) unfold();
})();
