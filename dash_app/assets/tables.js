// Tables come with a library of their own, 1.3 MB of which one page in six has a use for: it is fetched for the first of
// them. Dash finds this component in its place.
(function () {
  "use strict";
  const h = window.React.createElement;
  const fetched = () => window.tailgateScript(window.tailgateTable).then(() => ({ default: window.dash_ag_grid.AgGrid }));
  const Fetched = window.React.lazy(fetched);

  function AgGrid(props) {
    return h(window.React.Suspense, { fallback: h("div", { id: props.id, className: props.className }) }, h(Fetched, props));
  }
  AgGrid.dashRenderType = true; // the library's own asks to be told why it is drawn

  window.dash_ag_grid = { AgGrid };
  if (location.pathname === "/runs") fetched();
})();
