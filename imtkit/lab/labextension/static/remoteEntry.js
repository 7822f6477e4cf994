/* The container that JupyterLab loads: written by hand in the shape of a module-federation
   entry, so that nothing has to be built. The work is in the modules beside it. */
(function () {
  "use strict";
  const here = new URL(".", document.currentScript.src);
  let scope = {};

  const shared = async (name) => {
    const versions = scope[name];
    if (!versions) throw new Error(`JupyterLab does not share ${name}`);
    return (await versions[Object.keys(versions)[0]].get())();
  };

  const container = {
    init(given) {
      scope = given;
    },
    async get(name) {
      if (name === "./style") {
        for (const file of ["checklist.css", "gate.css", "lab.css", "run.css"]) {
          const link = document.createElement("link");
          link.rel = "stylesheet";
          link.href = new URL(file, here).href;
          document.head.append(link);
        }
        return () => ({});
      }
      const { makePlugin } = await import(new URL("plugin.js", here).href);
      const plugin = await makePlugin(shared);
      return () => ({ __esModule: true, default: [plugin] });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB.imtkit = container;
})();
