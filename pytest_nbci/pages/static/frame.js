"use strict";
// Runs inside a sandboxed frame of static/page.js, in an origin of its own without any rights.
// The policy lets it run blobs only, so every script is one. Refuses to work in a page.
(() => {
  if (window === window.top) return;
  const tell = (message) => parent.postMessage(message, "*");
  const say = (text) => {
    const line = document.createElement("p");
    line.textContent = text;
    document.body.append(line);
  };

  const run = (blob, attributes = []) =>
    new Promise((resolve) => {
      const script = document.createElement("script");
      for (const { name, value } of attributes) {
        if (name === "type" || name === "id" || name.startsWith("data-")) script.setAttribute(name, value);
      }
      script.async = false;
      script.onload = script.onerror = () => resolve();
      script.src = URL.createObjectURL(blob);
      document.body.append(script);
    });

  const drawers = {
    async plotly(figure) {
      const box = document.createElement("div");
      document.body.append(box);
      const layout = { autosize: true, ...figure.layout };
      if (!figure.layout?.width) delete layout.width;
      // The last ones stand against a figure's own wishes: no button that uploads the figure.
      const config = {
        responsive: true, displaylogo: false, ...figure.config,
        plotlyServerURL: "", showSendToCloud: false, showEditInChartStudio: false,
        modeBarButtonsToRemove: ["sendChartToCloud", "editInChartStudio"],
      };
      await window.Plotly.newPlot(box, figure.data ?? [], layout, config);
      if (figure.frames?.length) await window.Plotly.addFrames(box, figure.frames);
    },
    async vega({ mode, spec }) {
      const box = document.createElement("div");
      document.body.append(box);
      const refuse = async () => { throw new Error("a page loads nothing"); };
      const load = (address) => {
        say(`This figure loads ${address}, and a page loads nothing.`);
        return refuse();
      };
      const loader = { load, sanitize: refuse, http: refuse, file: refuse };
      const silent = () => logger; // a version newer or older than ours is no news for a reader
      const logger = { level: silent, error: silent, warn: silent, info: silent, debug: silent };
      // ast: an interpreter instead of eval, which the policy forbids.
      const options = { mode, ast: true, actions: false, renderer: "svg", loader, logger };
      await window.vegaEmbed(box, spec, options);
    },
    async html({ html }) {
      const parsed = new DOMParser().parseFromString(html, "text/html"); // inert
      for (const element of parsed.querySelectorAll("link, meta, base")) element.remove();
      const nodes = [...parsed.head.childNodes, ...parsed.body.childNodes];
      document.body.append(...nodes.map((node) => document.importNode(node, true)));
      for (const script of document.body.querySelectorAll("script")) {
        const type = script.type.trim().toLowerCase();
        const runs = ["", "text/javascript", "application/javascript", "module"].includes(type);
        if (!runs || script.src) continue;
        script.remove();
        await run(new Blob([script.textContent], { type: "text/javascript" }), script.attributes);
      }
    },
  };

  addEventListener("message", async (event) => {
    if (event.source !== parent) return;
    const { kind, payload, libraries } = event.data;
    try {
      for (const library of libraries) await run(library);
      await drawers[kind](JSON.parse(payload));
    } catch (error) {
      say(`This output could not be drawn: ${error?.message ?? error}`);
    }
    const root = document.documentElement;
    const measure = () => {
      const overflows = root.scrollHeight > root.clientHeight;
      tell({ nbci: "height", height: overflows ? root.scrollHeight : root.offsetHeight });
    };
    new ResizeObserver(measure).observe(document.body);
    measure();
  }, { once: true });
  tell({ nbci: "ready" });
})();
