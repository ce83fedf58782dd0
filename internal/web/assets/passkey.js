// A passkey is made, or asked for, by a script only: browsers have no other way. Sign-in has its own.
"use strict";

const can = window.PublicKeyCredential?.parseCreationOptionsFromJSON && window.PublicKeyCredential?.parseRequestOptionsFromJSON;

// The form is sent with the browser's answer, or not at all.
function withAnswer(form, field, ask) {
  const failed = form.querySelector("[data-passkey-failed]");
  return async (event) => {
    if (field.value) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (failed) failed.textContent = "";
    try {
      field.value = JSON.stringify((await ask()).toJSON());
    } catch (error) {
      // AbortError and NotAllowedError: the person changed their mind, or took too long.
      if (failed) failed.textContent = failed.dataset.text;
      return;
    }
    form.requestSubmit();
  };
}

for (const form of can ? document.querySelectorAll("[data-passkey-new]") : []) {
  const ask = () => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(form.dataset.passkeyNew)) });
  form.addEventListener("submit", withAnswer(form, form.elements.answer, ask), { capture: true });
  form.hidden = false;
  for (const said of document.querySelectorAll("[data-passkey-missing]")) said.hidden = true;
}

for (const form of can ? document.querySelectorAll("[data-passkey-proof]") : []) {
  const ask = () => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(form.dataset.passkeyProof)) });
  form.addEventListener("submit", withAnswer(form, form.elements.passkey, ask), { capture: true });
  form.hidden = false;
  for (const said of document.querySelectorAll("[data-passkey-missing]")) said.hidden = true;
}

addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("[data-passkey-new] [name=answer], [data-passkey-proof] [name=passkey]")) field.value = "";
});
