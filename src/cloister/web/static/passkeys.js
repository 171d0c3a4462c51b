"use strict";
// Passkeys: asks this server what to ask the device, asks the device, and hands its answer back. What holds is checked by the server.
// A box with `data-passkey` (create or get) names the addresses (`data-ask`, `data-answer`) and the fields of its form that go along
// (`data-fields`). Its button `data-start` is hidden where there is no script.
(() => {
  const able = window.isSecureContext && !!window.PublicKeyCredential && !!navigator.credentials;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const decoded = (options) => {
    const found = { ...options, challenge: bytes(options.challenge) };
    for (const name of ["excludeCredentials", "allowCredentials"]) {
      if (options[name]) found[name] = options[name].map((item) => ({ ...item, id: bytes(item.id) }));
    }
    if (options.user) found.user = { ...options.user, id: bytes(options.user.id) };
    return found;
  };
  const encoded = (credential) => {
    const { id, type, rawId, response } = credential;
    const told = { clientDataJSON: text(response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (response[name]) told[name] = text(response[name]);
    }
    return JSON.stringify({ id, rawId: text(rawId), type, response: told, clientExtensionResults: {} });
  };

  class Told extends Error {}
  const post = async (path, values) => {
    const headers = { "content-type": "application/json", accept: "application/json" };
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(values), headers, redirect: "error" });
    const document = await answer.json().catch(() => ({}));
    if (answer.ok) return document;
    const parts = [document.title, document.detail, document.remedy].filter(Boolean);
    throw new Told(parts.join(" ") || "The server did not answer as it should. Load the page again.");
  };
  const words = (error) => {
    if (error instanceof Told) return error.message;
    if (error.name === "InvalidStateError") return "This device has a passkey for this account already.";
    if (error.name === "NotAllowedError") return "The device did not answer, or was told not to. Try again.";
    if (error.name === "SecurityError") return "The browser makes no passkeys for this address. Open the page by its name.";
    return "The browser could not do this. Try another one, or use a password.";
  };

  for (const box of document.querySelectorAll("[data-passkey]")) {
    const start = box.querySelector("[data-start]");
    const trouble = box.querySelector("[data-trouble]");
    const form = box.closest("form");
    const names = (box.dataset.fields ?? "").split(" ").filter(Boolean);
    const say = (told) => {
      trouble.textContent = told;
      trouble.hidden = !told;
    };
    if (!able) {
      say("This browser makes no passkeys on this page.");
      continue;
    }
    start.hidden = false;
    const run = async () => {
      const inputs = names.map((name) => form?.elements.namedItem(name) ?? document.getElementById(`field-${name}`));
      if (inputs.some((input) => input && !box.hasAttribute("data-optional") && !input.reportValidity())) return;
      const values = Object.fromEntries(names.map((name, index) => [name, inputs[index]?.value ?? ""]));
      const pick = (...wanted) => Object.fromEntries(wanted.filter((name) => name in values).map((name) => [name, values[name]]));
      start.disabled = true;
      say("");
      try {
        const publicKey = decoded(await post(box.dataset.ask, pick("name", "key")));
        const credential = await (box.dataset.passkey === "create"
          ? navigator.credentials.create({ publicKey })
          : navigator.credentials.get({ publicKey }));
        const { go } = await post(box.dataset.answer, { answer: encoded(credential), ...pick("title", "next") });
        location.assign(go);
      } catch (error) {
        say(words(error));
        start.disabled = false;
      }
    };
    if (start.type === "button") start.addEventListener("click", run);
    else form.addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
  }
})();
