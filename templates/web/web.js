/* What the pages do besides being pages: times in the reader's zone, news without reloading,
   commands to copy. Every page works without it. */
"use strict";
(() => {
  const WORDS = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"]];
  const asServed = new WeakMap(); // an element that is kept up to date -> its markup as it came

  /* times */
  const span = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    for (const [size, unit, part, smaller] of WORDS) {
      if (whole >= size) return `${Math.floor(whole / size)} ${unit} ${Math.floor((whole % size) / part)} ${smaller}`;
    }
    return whole >= 60 ? `${Math.floor(whole / 60)} min` : `${whole} s`;
  };
  const clock = (moment) => {
    const isToday = moment.toDateString() === new Date().toDateString();
    const time = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
    return isToday ? time : `${moment.toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" })}, ${time}`;
  };
  const told = {
    clock,
    date: clock,
    until: (moment) => `until ${clock(moment)}`,
    age: (moment) => span((Date.now() - moment) / 1000),
    ago: (moment) => `${span((Date.now() - moment) / 1000)} ago`,
    left: (moment) => {
      const seconds = Math.ceil((moment - Date.now()) / 1000);
      if (seconds <= 0) return "time is over";
      const isSoon = seconds >= 60 && seconds < 600;
      return `${isSoon ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : span(seconds)} left`;
    },
  };
  const tellTimes = (inside) => {
    for (const one of inside.querySelectorAll("time[data-as]")) {
      const moment = new Date(one.dateTime);
      if (Number.isNaN(moment.valueOf()) || !told[one.dataset.as]) continue;
      const text = (one.dataset.before || "") + told[one.dataset.as](moment);
      if (one.textContent !== text) one.textContent = text;
      if (!one.title) one.title = moment.toLocaleString([], { dateStyle: "full", timeStyle: "long" });
    }
  };

  /* commands to copy */
  const offerCopies = (inside) => {
    for (const code of inside.querySelectorAll("code[data-copy]")) {
      if (code.nextElementSibling?.matches("button") || !navigator.clipboard) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "plain";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy: ${code.textContent}`);
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      code.after(button);
    }
  };

  const dress = (inside) => { tellTimes(inside); offerCopies(inside); };

  /* what is kept up to date: the children of [data-live], each by its id */
  const remember = (inside) => {
    for (const area of inside.querySelectorAll("[data-live]")) {
      for (const child of area.children) asServed.set(child, child.outerHTML);
    }
  };
  const replaced = (old, fresh) => {
    const opened = [...old.querySelectorAll("details[open]")].map((one) => [...old.querySelectorAll("details")].indexOf(one));
    const typed = [...old.querySelectorAll("input:not([type=hidden])")].map((one) => [one.form?.action, one.name, one.value]);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const place = focused ? [...old.querySelectorAll("a,button,input,textarea,summary")].indexOf(focused) : -1;
    old.replaceWith(fresh);
    if (old.matches("details[open]")) fresh.open = true;
    const details = fresh.querySelectorAll("details");
    for (const n of opened) if (details[n]) details[n].open = true;
    for (const [form, name, value] of typed) {
      const fields = [...fresh.querySelectorAll(`input[name="${CSS.escape(name)}"]:not([type=hidden])`)];
      const field = fields.find((one) => one.form?.action === form);
      if (field && value) field.value = value;
    }
    if (focused) {
      const next = fresh.querySelectorAll("a,button,input,textarea,summary")[place] || fresh;
      next.focus({ preventScroll: true });
    }
  };
  const bring = (area, freshArea) => {
    const known = new Map([...area.children].map((one) => [one.id, one]));
    let before = null;
    for (const one of [...freshArea.children]) {
      const markup = one.outerHTML;
      const old = known.get(one.id);
      known.delete(one.id);
      let here = old;
      if (!old) {
        here = document.adoptNode(one);
        before ? before.after(here) : area.prepend(here);
        here.classList.add("is-new");
        dress(here);
      } else if (asServed.get(old) !== markup) {
        here = document.adoptNode(one);
        dress(here);
        replaced(old, here);
      }
      asServed.set(here, markup);
      if (here.previousElementSibling !== before) before ? before.after(here) : area.prepend(here);
      before = here;
    }
    for (const gone of known.values()) {
      const held = gone.contains(document.activeElement);
      gone.remove();
      if (held) document.getElementById("main").focus({ preventScroll: true });
    }
  };
  const firstSeen = () => {
    const held = document.activeElement?.closest("[data-live] > [id]");
    if (held) return held;
    return [...document.querySelectorAll("[data-live] > [id]")].find((one) => one.getBoundingClientRect().bottom > 0);
  };
  const update = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const anchor = window.scrollY > 0 ? firstSeen() : null;
    const focus = document.activeElement;
    const top = anchor?.getBoundingClientRect().top;
    for (const area of document.querySelectorAll("[data-live]")) {
      const freshArea = document.body.contains(area) && area.id && fresh.getElementById(area.id);
      if (freshArea) bring(area, freshArea);
    }
    const kept = anchor && (document.body.contains(anchor) ? anchor : document.getElementById(anchor.id));
    if (kept) window.scrollBy(0, kept.getBoundingClientRect().top - top);
    if (focus && focus !== document.activeElement && document.body.contains(focus)) focus.focus({ preventScroll: true });
    document.title = fresh.title;
  };

  /* news from the log; a connection that breaks is taken up again where it was */
  const state = document.getElementById("link-state");
  const say = (words) => { if (state) { state.hidden = !words; state.textContent = words; } };
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const seen = () => new Promise((done) => {
    if (!document.hidden) { done(); return; }
    document.addEventListener("visibilitychange", function look() {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      done();
    });
  });
  const follow = async () => {
    let after = document.body.dataset.after;
    const watched = document.body.dataset.watched;
    let failures = 0;
    let isBehind = false;
    for (;;) {
      await seen(); // a hidden page holds no connection: browsers have few
      try {
        const about = new URLSearchParams({ after, incident: watched });
        const answer = isBehind ? null : await fetch(`/news?${about}`, { cache: "no-store", credentials: "same-origin", redirect: "error" });
        if (answer && (answer.status === 401 || answer.status === 403)) { say("Signed out – reload"); return; }
        if (answer && !answer.ok) throw new Error(String(answer.status));
        if (answer && answer.status === 204) { failures = 0; say(""); continue; }
        const news = answer ? await answer.json() : null;
        isBehind = true;
        const page = await fetch(document.body.dataset.page || location.href, { cache: "no-store", credentials: "same-origin", headers: { Accept: "text/html" } });
        if (!page.ok && page.status !== 409) throw new Error(String(page.status));
        update(await page.text());
        isBehind = false;
        if (news) {
          after = String(news.after);
          const words = news.said.join(". ");
          if (watched && words) document.getElementById("told").textContent = `New: ${words}`;
        }
        failures = 0;
        say("");
        await sleep(watched ? 250 : 1000);
      } catch {
        failures += 1;
        if (failures > 1) say("Not connected – trying again");
        await sleep(Math.min(8000, 400 * 2 ** failures));
      }
    }
  };

  /* a click that is on its way is not sent twice */
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (event.target.dataset.sent) {
      event.preventDefault();
      return;
    }
    event.target.dataset.sent = "1";
    button?.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    location.reload();
  });

  document.documentElement.classList.add("scripted");
  remember(document);
  dress(document);
  setInterval(() => tellTimes(document), 1000);
  if (location.hash) {
    const meant = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    meant?.focus?.({ preventScroll: true });
  }
  if (document.body.dataset.after !== undefined) follow();
})();
