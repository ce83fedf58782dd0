// What the pages of sign-in do more with a script than without one.
"use strict";

// A page that only leads on is left at once.
for (const form of document.querySelectorAll("form[data-go]")) form.submit();

// The time that a request has: it is said again when little is left, and when it is over.
for (const place of document.querySelectorAll("[data-seconds]")) {
  const end = Date.now() + Number(place.dataset.seconds) * 1000;
  const text = place.querySelector("span");
  const timer = setInterval(() => {
    const left = end - Date.now();
    if (left < 60000 && left > 0 && text.textContent !== place.dataset.soon) text.textContent = place.dataset.soon;
    if (left > 0) return;
    clearInterval(timer);
    text.textContent = place.dataset.over;
    place.querySelector("a").hidden = true;
  }, 1000);
}

// The ending that is chosen belongs to the handle that is looked at.
const domain = document.getElementById("f-domain"), handle = document.getElementById("f-handle");
if (domain && handle) {
  domain.addEventListener("change", () => {
    const url = new URL(handle.dataset.live, location.href);
    url.searchParams.set("domain", domain.value);
    handle.dataset.live = url.pathname + url.search;
    handle.dispatchEvent(new Event("input"));
  });
}

// A passkey signs in by a button, and where the browser can, by what it offers in the field for the handle.
const passkey = document.getElementById("passkey");
if (passkey && window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  const waiting = new AbortController();
  const ask = async (more) => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(passkey.dataset.options));
    const credential = await navigator.credentials.get({ publicKey, ...more });
    passkey.elements.answer.value = JSON.stringify(credential.toJSON());
    passkey.elements.remember.value = document.getElementById("f-remember")?.checked ? "on" : "";
    passkey.requestSubmit();
  };
  passkey.hidden = false;
  passkey.querySelector("button").addEventListener("click", () => {
    waiting.abort();
    ask({}).catch(() => {}); // the person changed their mind
  });
  // Where one was just refused it is not offered again without being asked for.
  const refused = document.querySelector(".notice.error");
  PublicKeyCredential.isConditionalMediationAvailable?.().then((can) => {
    if (can && !refused) return ask({ mediation: "conditional", signal: waiting.signal });
  }).catch(() => {});
}
