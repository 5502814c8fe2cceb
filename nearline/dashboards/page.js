/* global vegaEmbed: bundled with this script. */
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const specifications = read("specifications");
  const themes = read("themes");
  const darkScreen = window.matchMedia("(prefers-color-scheme: dark)");
  let drawn = [];

  async function draw() {
    drawn.forEach((chart) => chart.finalize());
    const theme = darkScreen.matches ? "dark" : "light";
    const elements = [...document.querySelectorAll("[data-chart]")];
    drawn = await Promise.all(
      elements.map((element) =>
        vegaEmbed(element, specifications[element.dataset.chart], {
          mode: "vega-lite",
          renderer: "svg",
          actions: false,
          // Without it Vega compiles expressions, which the page's policy forbids.
          ast: true,
          config: themes[theme],
          tooltip: { theme },
        })
      )
    );
    document.documentElement.dataset.drawn = theme;
  }

  darkScreen.addEventListener("change", draw);
  draw();
})();
