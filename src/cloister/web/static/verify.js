"use strict";
// A log verified here, in this browser: RFC 6962 leaf and node hashes, every root, the Ed25519 signatures of log and witnesses.
// Nothing of the answer is taken from the server but the file itself. Rules:
// 1. An entry counts in its one written form; its hash is computed from that.
// 2. Which keys are the log's follows from the fingerprint, which the first card's keys must give.
// 3. What was not checked is said.
(() => {
  const subtle = globalThis.crypto?.subtle;
  const utf8 = new TextEncoder();
  const joined = (...parts) => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { whole.set(part, at); at += part.length; }
    return whole;
  };
  const sha256 = async (...parts) => new Uint8Array(await subtle.digest("SHA-256", joined(...parts)));
  const hex = (bytes) => [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
  const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const unb64 = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const same = (one, other) => one.length === other.length && one.every((byte, index) => byte === other[index]);
  const leafHash = (leaf) => sha256(Uint8Array.of(0), leaf);
  const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);
  const base32 = (bytes) => {
    let bits = "";
    for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
    return (bits.match(/.{1,5}/g) ?? []).map((five) => "abcdefghijklmnopqrstuvwxyz234567"[parseInt(five.padEnd(5, "0"), 2)]).join("");
  };
  const LEAF = /^\{"digest":"sha256:[0-9a-f]{64}","kind":"[a-z-]{1,40}","time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"\}$/;
  const written = ({ digest, kind, time }) => JSON.stringify({ digest, kind, time });
  const LEDGER = "cloister/ledger/", WITNESS = "cloister/witness/", TOLERANCE = 120;

  // The roots of the complete subtrees so far give the root at every size in one pass.
  class Peaks {
    stack = [];
    async push(value) {
      let level = 0;
      while (this.stack.length && this.stack.at(-1)[0] === level) {
        value = await nodeHash(this.stack.pop()[1], value);
        level += 1;
      }
      this.stack.push([level, value]);
    }
    async root() {
      let value = null;
      for (const [, part] of [...this.stack].reverse()) value = value ? await nodeHash(part, value) : part;
      return value ?? sha256();
    }
  }

  const keysOf = async (chain) => {
    const cards = chain.map(({ payload }) => JSON.parse(new TextDecoder().decode(unb64(payload))));
    const { keys, recovery } = cards[0];
    const { ed25519, mldsa65, mlkem768, x25519 } = keys;
    const content = JSON.stringify({ keys: { ed25519, mldsa65, mlkem768, x25519 }, recovery, type: "cloister/party@1" });
    const party = base32(await sha256(utf8.encode(content)));
    return { party, first: unb64(ed25519), later: [...new Set(cards.slice(1).map((card) => card.keys.ed25519))].filter((key) => key !== ed25519).map(unb64) };
  };

  const imported = (key) => subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  const canSign = async () => {
    try {
      await imported(unb64("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="));
      return true;
    } catch {
      return false;
    }
  };
  const holds = async (key, signature, message) => subtle.verify({ name: "Ed25519" }, await imported(key), signature, message);
  const keyId = async (name, kind, key) => (await sha256(utf8.encode(`${name}\n`), Uint8Array.of(kind), key)).slice(0, 4);

  const note = (text) => {
    const cut = text.lastIndexOf("\n\n");
    const lines = text.slice(cut + 2).split("\n").filter(Boolean).map((line) => {
      const [, name, data] = line.split(" ");
      const bytes = unb64(data);
      return { name, id: bytes.slice(0, 4), signature: bytes.slice(4) };
    });
    const [origin, size, root] = text.slice(0, cut + 1).split("\n");
    return { text: text.slice(0, cut + 1), origin, size: Number(size), root: unb64(root), lines };
  };
  const stamped = (signature) => [Number(new DataView(signature.buffer, signature.byteOffset, 8).getBigUint64(0)), signature.slice(8)];

  // Everything about one exported log. `expected` is the fingerprint that it should be of; empty if the reader compares it.
  const verify = async (bytes, expected, progress) => {
    const found = { findings: [], entries: 0, signed: 0, heads: 0, witnesses: new Map(), did: [], not: [], party: "" };
    const wrong = (text, index = null, until = null) => found.findings.push({ text, index, until });
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const lines = text.split("\n");
    const header = JSON.parse(lines[0]);
    if (header.type !== "cloister/ledger-export@1" || !String(header.origin).startsWith(LEDGER)) throw new Error("not an exported log");
    found.party = header.origin.slice(LEDGER.length);
    if (expected && found.party !== expected) wrong("It is another organisation's log.");
    const chains = new Map();
    for (const chain of header.cards) {
      const known = await keysOf(chain);
      chains.set(known.party, known);
    }
    const own = chains.get(found.party);
    if (own) found.did.push("The keys in the file are those that the fingerprint stands for.");
    else wrong("No keys in the file give the fingerprint that the log names.");

    const entries = [], heads = [];
    let ended = false, sum = 0, last = -1;
    for (const [number, line] of lines.entries()) {
      if (number === 0 || (number === lines.length - 1 && line === "")) continue;
      let value = null;
      try { value = JSON.parse(line); } catch { /* told below */ }
      const kind = value && Object.keys(value).length === 1 ? Object.keys(value)[0] : "";
      if (ended) { wrong(`Line ${number + 1} comes after the end.`, entries.length); break; }
      if (kind === "entry") {
        const { hash, index, leaf, spoiled } = value.entry;
        const form = leaf ? written(leaf) : "";
        const whole = leaf ? JSON.stringify({ entry: { hash, index, leaf: JSON.parse(form) } }) : line;
        if (whole !== line || (leaf && !LEAF.test(form))) wrong(`Entry ${index} is not in the one form that entries have.`, entries.length);
        if (spoiled !== undefined) wrong(`Entry ${index} is not a log entry any more.`, entries.length);
        if (index !== last + 1) wrong(`Entry ${last + 1} is missing: entry ${index} follows.`, last + 1);
        last = index;
        entries.push({ hash, form, raw: leaf ? null : unb64(spoiled ?? ""), time: leaf ? Date.parse(leaf.time) / 1000 : null });
      } else if (kind === "checkpoint") {
        try { heads.push(note(value.checkpoint)); } catch { wrong(`The checkpoint in line ${number + 1} cannot be read.`); }
      } else if (kind === "end") {
        ended = true;
        const digest = `sha256:${hex(await sha256(utf8.encode(lines.slice(0, number).join("\n") + "\n")))}`;
        if (value.end.entries !== entries.length || value.end.checkpoints !== heads.length || value.end.digest !== digest) {
          wrong("What its last line counts is not what came before: the file was changed or cut.");
        }
      } else {
        wrong(`Line ${number + 1} cannot be read.`, heads.length ? null : entries.length);
        if (!heads.length) { entries.push({ hash: "", form: "", raw: new Uint8Array(), time: null }); last += 1; }
      }
    }
    if (!ended) wrong("The file is cut short: its end is missing.", entries.length);

    const sizes = new Set(heads.map(({ size }) => size)), roots = new Map([[0, await sha256()]]), peaks = new Peaks();
    let latest = null;
    for (const [index, entry] of entries.entries()) {
      let value = await leafHash(entry.raw ?? utf8.encode(entry.form));
      if (hex(value) !== entry.hash) {
        wrong(`Entry ${index} does not fit its hash.`, index);
        if (/^[0-9a-f]{64}$/.test(entry.hash)) value = unhex(entry.hash);
      }
      if (entry.time !== null) {
        if (latest !== null && entry.time + TOLERANCE < latest) wrong(`Entry ${index} is dated before an earlier one.`, index);
        latest = Math.max(latest ?? entry.time, entry.time);
      }
      await peaks.push(value);
      if (sizes.has(index + 1)) roots.set(index + 1, await peaks.root());
      if (index % 500 === 0) { progress(index, entries.length); await new Promise((go) => { setTimeout(go); }); }
    }
    found.entries = entries.length;
    found.root = hex(await peaks.root());
    found.did.push(`The hash of each of the ${entries.length} entries was computed from its bytes, and the tree over all of them.`);

    const signatures = await canSign();
    let fits = 0;
    for (const head of [...heads].sort((one, other) => one.size - other.size)) {
      if (head.origin !== header.origin) { wrong(`A checkpoint of ${head.size} entries is another log's.`); continue; }
      if (signatures && own) {
        let ours = false;
        for (const [position, key] of [own.first, ...own.later].entries()) {
          for (const line of head.lines.filter(({ name }) => name === head.origin)) {
            if (!same(line.id, await keyId(head.origin, 1, key))) continue;
            if (!(await holds(key, line.signature, utf8.encode(head.text)))) { wrong(`The signature under the checkpoint of ${head.size} entries is wrong.`); continue; }
            ours = true;
            found.rotated ||= position > 0;
          }
        }
        if (!ours) { wrong(`No key of the log signed the checkpoint of ${head.size} entries.`); continue; }
        for (const [party, { first, later }] of chains) {
          const name = WITNESS + party;
          for (const key of [first, ...later]) {
            for (const line of head.lines.filter((one) => one.name === name)) {
              if (!same(line.id, await keyId(name, 4, key))) continue;
              const [time, signature] = stamped(line.signature);
              if (await holds(key, signature, utf8.encode(`cosignature/v1\ntime ${time}\n${head.text}`))) found.witnesses.set(party, Math.max(found.witnesses.get(party) ?? 0, head.size));
              else wrong(`A witness's signature under the checkpoint of ${head.size} entries is wrong.`);
            }
          }
        }
      }
      found.heads += 1;
      if (head.size > entries.length) wrong(`The log signed ${head.size} entries; ${entries.length} are here. The last ${head.size - entries.length} were removed.`, entries.length, head.size);
      else if (same(roots.get(head.size), head.root)) fits = Math.max(fits, head.size);
      else wrong(`Entries ${fits} to ${head.size - 1} do not give the root that was signed for ${head.size} entries: one was changed, removed or put in between.`, fits, head.size);
    }
    if (entries.length && !heads.length) wrong("There is no checkpoint, so nothing binds the entries.", 0);
    found.signed = fits;
    found.did.push(`The root at each of the ${heads.length} checkpoints was compared with the one that was signed.`);
    if (signatures) {
      found.did.push("The Ed25519 signatures under the checkpoints were verified.");
      if (found.witnesses.size) found.did.push(`So were those of ${found.witnesses.size} witness${found.witnesses.size === 1 ? "" : "es"}.`);
    } else found.not.push("Signatures: this browser cannot verify Ed25519.");
    found.not.push("The second signature under each checkpoint, ML-DSA-65, which holds against quantum computers: no browser can verify it yet. The command and this server can.");
    if (found.rotated) found.not.push("The organisation has changed its keys. That the new ones follow from the first was not checked here.");
    if (!found.witnesses.size) found.not.push("No witness has signed: entries cut off at the end, with the checkpoints over them, would not be noticed.");
    if (entries.length > fits) found.not.push(`${entries.length - fits} entries are newer than the last checkpoint that fits.`);
    return found;
  };

  const firstBad = ({ findings }) => {
    const exact = findings.filter(({ index, until }) => index !== null && until === null).map(({ index }) => index);
    const ranges = findings.filter(({ until }) => until !== null).map(({ index, until }) => exact.filter((one) => one >= index && one < until).sort((a, b) => a - b)[0] ?? index);
    return [...exact, ...ranges].sort((one, other) => one - other)[0] ?? null;
  };

  const make = (name, text, className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const list = (title, items, to) => {
    if (!items.length) return;
    to.append(make("h3", title));
    const made = document.createElement("ul");
    made.append(...items.map((text) => make("li", text)));
    to.append(made);
  };
  const show = (place, found, linked) => {
    const ok = !found.findings.length, bad = firstBad(found);
    const head = make("div", "", `note ${ok ? "good" : "bad"}`);
    head.dataset.verdict = ok ? "holds" : "broken";
    head.append(make("strong", ok ? "Nothing is wrong: no entry was changed, removed or put in between." : `${found.findings.length} thing${found.findings.length === 1 ? " is" : "s are"} wrong.`));
    head.append(make("p", `${found.entries} entries, ${found.signed} of them under a checkpoint that fits.`));
    if (bad !== null) {
      const line = make("p", "The first entry concerned: ");
      const link = make(linked ? "a" : "strong", `number ${bad}`);
      if (linked) link.href = `/log/entries/${bad}`;
      link.dataset.firstBad = bad;
      line.append(link);
      head.append(line);
    }
    place.replaceChildren(head);
    list("What is wrong", found.findings.slice(0, 20).map(({ text }) => text), place);
    list("What this browser did", found.did, place);
    list("What it did not", found.not, place);
    place.append(make("p", `Fingerprint of the log's owner, to be compared: ${(found.party.match(/.{1,4}/g) ?? []).join(" ")}`, "soft small"));
    place.append(make("p", `Root: ${found.root}`, "soft small"));
  };

  class Later extends Error {}

  const run = async (place, load, expected, linked) => {
    place.setAttribute("aria-busy", "true");
    place.replaceChildren(make("p", "Getting the log…", "busy"));
    try {
      const found = await verify(await load(), expected, (done, all) => place.replaceChildren(make("p", `${done} of ${all} entries…`, "busy")));
      show(place, found, linked);
    } catch (error) {
      const later = error instanceof Later;
      const note_ = make("div", "", later ? "note" : "note bad");
      note_.dataset.verdict = later ? "later" : "unread";
      note_.append(make("strong", later ? error.message : "It could not be read as an exported log."));
      place.replaceChildren(note_);
    }
    place.removeAttribute("aria-busy");
  };

  const page = document.querySelector("[data-log-export]");
  if (page && subtle) {
    page.hidden = false;
    const place = page.querySelector("[data-outcome]");
    page.querySelector("[data-verify]").addEventListener("click", () => run(place, async () => {
      const answer = await fetch(page.dataset.logExport, { cache: "no-store" });
      if (answer.status === 429) throw new Later(`This server writes its log out for somebody at this moment, or has just done so. Try again in ${Number(answer.headers.get("retry-after")) || 10} seconds.`);
      if (!answer.ok) throw new Error("refused");
      return new Uint8Array(await answer.arrayBuffer());
    }, page.dataset.party, true));
    page.querySelector("input[type=file]").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      if (file) run(place, async () => new Uint8Array(await file.arrayBuffer()), "", false);
    });
  }

  // One entry: its opening, its leaf, and the way to the signed root (RFC 9162, 2.1.3.2).
  const included = async (value, index, size, proof, root) => {
    let first = index, last = size - 1;
    for (const item of proof) {
      if (last === 0) return false;
      if (first % 2 || first === last) {
        value = await nodeHash(item, value);
        while (!(first % 2) && first) { first = Math.floor(first / 2); last = Math.floor(last / 2); }
      } else value = await nodeHash(value, item);
      first = Math.floor(first / 2);
      last = Math.floor(last / 2);
    }
    return last === 0 && same(value, root);
  };
  const entry = document.querySelector("[data-entry]");
  if (entry && subtle) {
    (async () => {
      const { index, size, root, kind, digest, time, document: about, salt } = entry.dataset;
      const leaf = await leafHash(utf8.encode(written({ digest, kind, time })));
      const proof = [...entry.querySelectorAll("[data-hash]")].map((item) => unhex(item.dataset.hash));
      const fits = size ? await included(leaf, Number(index), Number(size), proof, unb64(root)) : null;
      const opens = salt && about ? hex(await sha256(unb64(salt), unhex(about.replace("sha256:", "")))) === digest.replace("sha256:", "") : null;
      const said = [];
      if (fits !== null) said.push([fits, fits ? `Your browser computed the same: entry ${index} is under the root of ${size} entries.` : "Your browser came to another root: this entry is not under the one that was signed."]);
      if (opens !== null) said.push([opens, opens ? "It is about the document that is named here." : "It is not about the document that is named here."]);
      const place = entry.querySelector("[data-outcome]");
      place.replaceChildren(...said.map(([ok, text]) => {
        const made = make("p", text, `note ${ok ? "good" : "bad"}`);
        made.dataset.verdict = ok ? "holds" : "broken";
        return made;
      }));
    })().catch(() => {});
  }
})();
