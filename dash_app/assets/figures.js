// What every graph of Dash gets on top: axis labels that would touch their neighbour are left out (a figure is drawn on
// the server, which does not know how wide the card is), and a graph that has its size already is not drawn for it again.
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

  // Dash asks for a resize once a graph has been drawn, and Plotly then draws all of it once more, whatever its size.
  function resizeOnlyWhatHasAnotherSize(plots) {
    const resize = plots.resize;
    plots.resize = function (plot) {
      const box = plot.getBoundingClientRect();
      const drawn = plot._fullLayout;
      const fits = drawn && Math.abs(drawn.width - box.width) < 1 && Math.abs(drawn.height - box.height) < 1;
      return fits ? Promise.resolve(plot) : resize(plot);
    };
    plots.resize.ofTailgate = true;
  }

  // Labels drawn before their font was there had other widths.
  document.fonts.addEventListener("loadingdone", function () {
    for (const plot of document.querySelectorAll(".js-plotly-plot")) tidy(plot);
  });

  // Dash draws its graphs by itself; each is met when it has been drawn for the first time.
  const known = new WeakSet();
  new MutationObserver(function () {
    if (window.Plotly && window.Plotly.Plots && !window.Plotly.Plots.resize.ofTailgate) resizeOnlyWhatHasAnotherSize(window.Plotly.Plots);
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      if (known.has(plot) || !plot.on) continue;
      known.add(plot);
      plot.on("plotly_afterplot", () => tidy(plot));
      tidy(plot);
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
