// Makes a recovery key in the browser: a P-256 key pair. The public key goes into the form; the private one is shown, and
// leaves this page only by the hands of whoever reads it.
"use strict";

const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

function base58(bytes) {
  let n = 0n;
  for (const b of bytes) n = n * 256n + BigInt(b);
  let text = "";
  for (; n > 0n; n /= 58n) text = digits[Number(n % 58n)] + text;
  for (const b of bytes) {
    if (b !== 0) break;
    text = "1" + text;
  }
  return text;
}

function fromBase64url(text) {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
}

// The bytes in front say what kind of key follows: p256-pub and p256-priv of the table of multicodecs.
const multibase = (kind, bytes) => "z" + base58([...kind, ...bytes]);

async function makeKey() {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  const x = fromBase64url(jwk.x), y = fromBase64url(jwk.y);
  return {
    public: "did:key:" + multibase([0x80, 0x24], [2 + (y[31] & 1), ...x]),
    private: multibase([0x86, 0x26], fromBase64url(jwk.d)),
  };
}

const maker = document.querySelector("[data-key-maker]");
if (maker && window.crypto?.subtle) {
  maker.hidden = false;
  maker.querySelector("[data-key-make]").addEventListener("click", async () => {
    const key = await makeKey();
    document.getElementById("s-private").textContent = key.private;
    document.getElementById("f-key").value = key.public;
    const save = maker.querySelector("[data-key-save]");
    if (save.href) URL.revokeObjectURL(save.href);
    save.href = URL.createObjectURL(new Blob([key.public + "\n" + key.private + "\n"], { type: "text/plain" }));
    maker.querySelector("[data-key-made]").hidden = false;
  });
}
