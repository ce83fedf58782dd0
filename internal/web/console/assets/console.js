// What the dashboard does more with a script than without one. None of it is needed: a page can be loaded again.
"use strict";

// A part of a page that is on its way is looked at again while it is: soon at first, then ever more seldom while nothing
// changes, not at all while nobody sees the page, and no more than so often. "Look again" is there without all this.
const soonest = 2000, latest = 30000, looks = 400;
let wait = soonest, left = looks, timer = 0, looking = false;

function later() {
  clearTimeout(timer);
  timer = 0;
  if (left > 0 && !document.hidden && document.querySelector("[data-refresh]")) timer = setTimeout(look, wait);
}

async function look() {
  const part = document.querySelector("[data-refresh]");
  if (!part || looking) return;
  looking = true;
  left--;
  wait = Math.min(wait * 1.5, latest);
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(latest) });
    if (answer.status === 429 || answer.status >= 500) return later();
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    if (!fresh) return;
    if (fresh.outerHTML !== part.outerHTML) {
      const at = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
      part.replaceWith(document.adoptNode(fresh));
      if (at) fresh.querySelector(`a[href="${CSS.escape(at)}"]`)?.focus();
      wait = soonest;
    }
    if (!("refresh" in fresh.dataset)) document.querySelector(`[data-while="${part.id}"]`)?.remove(); // what can be done while it is on its way
  } catch {
    // The next look may find the server again.
  } finally {
    looking = false;
  }
  later();
}

// Who comes back to the page sees it as it is.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return later();
  if (!timer && left > 0 && document.querySelector("[data-refresh]")) {
    wait = soonest;
    look();
  }
});
later();
