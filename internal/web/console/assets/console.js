// What the dashboard does more with a script than without one. None of it is needed: a page can be loaded again.
"use strict";

// A part of a page that is on its way is looked at again while it is.
async function refresh() {
  const part = document.querySelector("[data-refresh]");
  if (!part) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    if (!fresh) return;
    part.replaceWith(document.adoptNode(fresh));
  } catch {
    // The next look may find the server again.
  }
  setTimeout(refresh, 2000);
}
setTimeout(refresh, 2000);
