// What pages do more with a script than without one. None of them needs it.
"use strict";

for (const button of document.querySelectorAll("[data-reveal]")) {
  const field = document.getElementById(button.dataset.reveal);
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = field.type === "text";
    field.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
    field.focus();
  });
  // Browsers offer to keep what was in a field for passwords.
  field.form?.addEventListener("submit", () => { field.type = "password"; });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    } catch {
      return;
    }
    const text = button.querySelector("span"), before = text.textContent;
    text.textContent = button.dataset.done;
    setTimeout(() => { text.textContent = before; }, 2000);
  });
}

// A form that is on its way is not sent again.
for (const form of document.forms) {
  if (form.method !== "post") continue;
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    form.setAttribute("aria-busy", "true");
    setTimeout(() => {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }, 8000);
  });
}
addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

// What is entered is looked at by the server while somebody types: {"ok": true, "text": "…"}.
for (const field of document.querySelectorAll("[data-live]")) {
  const place = document.getElementById("l-" + field.name);
  let timer, asked;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    place.textContent = "";
    timer = setTimeout(async () => {
      const value = field.value.trim();
      asked?.abort();
      if (!value) return;
      asked = new AbortController();
      try {
        const url = new URL(field.dataset.live, location.href);
        url.searchParams.set("value", value);
        const answer = await fetch(url, { signal: asked.signal, headers: { Accept: "application/json" } });
        const said = await answer.json();
        if (field.value.trim() !== value || !answer.ok) return;
        place.textContent = said.text;
        place.dataset.ok = String(said.ok);
      } catch {
        // The form says it when it is sent.
      }
    }, 350);
  });
}
