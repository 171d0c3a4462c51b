"use strict";
// What htmx may do on this page. Rules:
// 1. Text never becomes code: no expression in an attribute, no script in an answer. Markup is parsed by htmx alone.
// 2. By itself it only reads. What changes something is a form that a person sent, to the address that the form names.
// 3. It asks this server only.
(() => {
  const refuse = () => {
    throw new Error("Text does not become code on this page.");
  };
  const rules = { createHTML: (text) => text, createScript: refuse, createScriptURL: refuse };
  const policy = window.trustedTypes ? window.trustedTypes.createPolicy("cloister", rules) : rules;

  const allowed = ({ request, sourceElement, sourceEvent }) => {
    const asked = new URL(request.action, document.baseURI);
    if (asked.origin !== location.origin) return false;
    if (request.method === "GET") return true;
    const form = sourceElement;
    return form instanceof HTMLFormElement && sourceEvent?.type === "submit" && sourceEvent.isTrusted
      && asked.href === new URL(form.getAttribute("action") ?? "", document.baseURI).href;
  };

  htmx.registerExtension("cloister", {
    init: (api) => api.initSecurity(policy, refuse, refuse),
    htmx_config_request: (element, { ctx }) => allowed(ctx),
  });
})();
