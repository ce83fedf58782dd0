// Counts a download as it comes in. Where the browser can write to a file that was chosen, it goes there; otherwise what is
// not too large is collected first, and the rest is left to the browser itself.
"use strict";

const place = document.querySelector("[data-downloads]");
const most = 300e6; // bytes that are collected

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; bytes >= 999.5 && i < units.length - 1; i++) bytes /= 1000;
  return new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: i && bytes < 99.5 ? 1 : 0 }).format(bytes) + "\u00a0" + units[i];
}

function counter(link, expected) {
  const box = document.createElement("div");
  box.className = "meter";
  const text = document.createElement("p"), bar = document.createElement("progress");
  text.setAttribute("role", "status");
  if (expected > 0) bar.max = expected;
  box.append(text, bar);
  link.closest(".actions").after(box);
  let said = 0;
  return {
    count(bytes) {
      if (expected > 0) bar.value = Math.min(bytes, expected * 0.99);
      if (Date.now() - said < 500) return; // a reader is not to be told each packet
      said = Date.now();
      text.textContent = place.dataset.running.replace("{size}", size(bytes));
    },
    end(bytes) {
      bar.max = 1;
      bar.value = 1;
      text.textContent = place.dataset.finished.replace("{size}", size(bytes));
    },
    fail() {
      bar.remove();
      text.textContent = place.dataset.failed;
    },
  };
}

function nameOf(answer, link) {
  return /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "")?.[1] || new URL(link.href).pathname.split("/").pop();
}

async function download(link, file) {
  const answer = await fetch(link.href);
  if (!answer.ok || !answer.body) {
    location.assign(link.href); // the page says why not
    return;
  }
  const shown = counter(link, Number(link.dataset.size)), parts = [];
  const out = file && await file.createWritable();
  let bytes = 0;
  try {
    for (const reader = answer.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      if (out) await out.write(value);
      else parts.push(value);
      shown.count(bytes);
    }
    await out?.close();
  } catch {
    await out?.abort().catch(() => {});
    shown.fail();
    return;
  }
  if (!out) {
    const a = document.createElement("a");
    a.href = URL.createObjectURL(new Blob(parts));
    a.download = nameOf(answer, link);
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 60000);
  }
  shown.end(bytes);
}

for (const link of place?.querySelectorAll("a[data-size]") || []) {
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (link.dataset.busy) {
      event.preventDefault();
      return;
    }
    const known = Number(link.dataset.size);
    if (!window.showSaveFilePicker && !(known > 0 && known < most)) return;
    event.preventDefault();
    link.dataset.busy = "1";
    try {
      const file = window.showSaveFilePicker && await showSaveFilePicker({ suggestedName: new URL(link.href).pathname.split("/").pop() });
      await download(link, file);
    } catch (e) {
      if (e.name !== "AbortError") location.assign(link.href);
    }
    delete link.dataset.busy;
  });
}
