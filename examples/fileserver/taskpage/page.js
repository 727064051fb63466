// Keeps the page up to date: progress goes straight into its bar, everything else makes the page be fetched again.
"use strict";
(() => {
  const live = document.getElementById("live");
  const say = (state, text) => { live.dataset.state = state; live.textContent = text; };

  let due = 0, last = 0, busy = false, held = false;

  // soon fetches the page once for everything that happens within a moment, and at most once per second.
  function soon() {
    if (due) return;
    due = setTimeout(refresh, Math.max(150, 1000 - (Date.now() - last)));
  }

  async function refresh() {
    due = 0;
    if (busy || held || document.hidden) { // a button that is being pressed must not vanish
      if (!document.hidden) soon();
      return;
    }
    busy = true;
    last = Date.now();
    try {
      const answer = await fetch(location.pathname, {cache: "no-store"});
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
        if (fresh && !held) document.querySelector("main").replaceWith(fresh);
      }
    } catch {
      soon();
    } finally {
      busy = false;
    }
  }

  function show(report) {
    const row = document.getElementById("r-" + report.id);
    if (!row || report.state !== "running") soon();
    if (!row) return;
    const bar = row.querySelector("progress"), numbers = row.querySelector(".numbers");
    let text = String(report.done);
    if (report.total !== null) text += " / " + report.total;
    if (report.suffix) text += " " + report.suffix;
    numbers.textContent = text;
    if (report.total !== null && report.total > 0) {
      bar.max = report.total;
      bar.value = report.done;
      const percent = document.createElement("b");
      percent.className = "percent";
      percent.textContent = Math.floor(100 * Math.min(report.done / report.total, 1)) + " %";
      numbers.append(percent);
    }
  }

  function span(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min " + s % 60 + " s";
    if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min";
    return Math.floor(s / 86400) + " d " + Math.floor(s / 3600) % 24 + " h";
  }

  function follow() {
    const source = new EventSource(document.body.dataset.events);
    source.onopen = () => { say("on", "live"); soon(); };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) { say("retry", "connecting again"); return; }
      say("off", "refreshes every 5 s"); // there are too many who follow
      setTimeout(() => { refresh(); follow(); }, 5000);
    };
    source.addEventListener("task", soon);
    source.addEventListener("lost", soon);
    source.addEventListener("progress", (m) => show(JSON.parse(m.data).progress_report));
  }

  addEventListener("pointerdown", () => { held = true; });
  addEventListener("pointerup", () => { setTimeout(() => { held = false; }, 50); });
  addEventListener("pointercancel", () => { held = false; });
  document.addEventListener("visibilitychange", soon);
  setInterval(() => {
    for (const t of document.querySelectorAll("main time")) {
      t.textContent = span((Date.now() - Date.parse(t.dateTime)) / 1000);
    }
  }, 1000);
  setInterval(soon, 15000); // heartbeats make no events
  follow();
})();
