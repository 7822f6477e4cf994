/* The widget of front ends without our labextension: the same list, through the kernel.
   checklist.js stands before this text; together they are the widget's module. */

const POLL_MS = 5000;

function render({ model, el }) {
  const waiting = new Map();
  const clock = recorderClock();
  let timer = 0;
  let gone = false;

  const take = (list) => {
    clock.heard(list);
    view.show(list);
  };

  const hear = ({ nonce, list, problem }) => {
    const asked = waiting.get(nonce);
    waiting.delete(nonce);
    if (asked) clearTimeout(asked.timer);
    if (list) take(list);
    if (!asked) return;
    if (list) asked.resolve(list);
    else asked.reject(new Refused(problem.message, problem.hint));
  };

  /* Whoever waits is told in time: a kernel that is busy or dead says nothing by itself. */
  const ask = (words) =>
    new Promise((resolve, reject) => {
      const nonce = newNonce();
      const giveUp = () => {
        waiting.delete(nonce);
        reject(new Unreachable("The kernel does not answer.", "It is busy, or no longer there."));
      };
      waiting.set(nonce, { resolve, reject, timer: setTimeout(giveUp, patienceMs()) });
      try {
        model.send({ ...words, nonce });
      } catch {
        clearTimeout(waiting.get(nonce).timer);
        giveUp();
      }
    });

  const refresh = async () => {
    clearTimeout(timer);
    try {
      if (!document.hidden) await ask({ kind: "read" });
    } catch (error) {
      if (!gone) view.unreachable(error);
    }
    if (!gone) timer = setTimeout(refresh, POLL_MS);
  };

  const mark = (item, checked) =>
    ask({ kind: "click", item, checked, not_after: clock.deadline() });

  const view = drawChecklist(el, { mark, retry: refresh });
  view.loading(model.get("list_name"), model.get("incident"));
  model.on("msg:custom", hear);
  refresh();
  return () => {
    gone = true;
    clearTimeout(timer);
    model.off("msg:custom", hear);
    view.dispose();
  };
}

export default { render };
