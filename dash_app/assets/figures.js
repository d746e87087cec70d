// Axis labels that would touch their neighbour are left out: a figure is drawn on the server, which does not know how
// wide the card is.
(function () {
  "use strict";
  const GAP_PX = 4;

  function thin(texts, side, extent) {
    let edge = -Infinity;
    for (const text of texts) {
      text.style.visibility = "";
      const box = text.getBoundingClientRect();
      if (box[side] < edge + GAP_PX) text.style.visibility = "hidden";
      else edge = box[extent];
    }
  }

  function tidy(plot) {
    const texts = (selector) =>
      [...plot.querySelectorAll(selector)].sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left);
    thin(texts(".xaxislayer-above .xtick text"), "left", "right");
  }

  // Dash draws its graphs by itself; each is met when it has been drawn for the first time.
  const known = new WeakSet();
  new MutationObserver(function () {
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      if (known.has(plot) || !plot.on) continue;
      known.add(plot);
      plot.on("plotly_afterplot", () => tidy(plot));
      tidy(plot);
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
