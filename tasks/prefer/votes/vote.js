// One pair at a time: play both sounds, then vote. A page with sounds in it makes a file to save; a page without any asks
// the server that it came from, and gives it each vote.
(() => {
  "use strict";
  const { test, scales, columns, trials: embedded } = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const votes = new Map(); // trial -> {choice, flipped, quality, similarity, seconds, revision}; sides as in the key
  const heard = new Map(); // trial -> letters whose sound was played to its end, as shown
  const choiceButtons = [...document.querySelectorAll(".vote")];
  const letters = ["A", "B", "R"].filter((letter) => by("play" + letter));
  let trials = [];
  let rater = "";
  let at = 0;
  let audio = null;
  let draft = {}; // of the pair shown, with sides as shown
  let since = 0;

  // --- what does not depend on where the trials come from ---

  // A mixed hash: each rater has an own order and sides, and the same ones again after the page was closed.
  const hash = (text) => {
    let h = 2166136261;
    for (const byte of new TextEncoder().encode(text)) h = Math.imul(h ^ byte, 16777619);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  };
  // Case, spaces, invisible characters and ways to write one letter make no other rater (names.py).
  const sameName = (name) => name.replace(/[\p{DI}\p{Cf}]/gu, "").normalize("NFKC").trim().split(/\s+/).join(" ").toLowerCase();
  const unusable = (name) => {
    if (!/[\p{L}\p{N}\p{P}\p{S}]/u.test(sameName(name))) return "Please type your name.";
    if (/^[=+@-]/.test(sameName(name))) return "A name must not begin with = or + or - or @, as formulas of spreadsheets do.";
    return "";
  };
  const prepare = (list) => list
    .map((trial) => ({ ...trial, flipped: hash(`${test} side ${sameName(rater)} ${trial.trial}`) % 2 === 1 }))
    .sort((x, y) => (y.practice - x.practice) ||
      (x.practice ? x.trial.localeCompare(y.trial) :
        hash(`${test} order ${sameName(rater)} ${x.trial}`) - hash(`${test} order ${sameName(rater)} ${y.trial}`)));
  const other = { A: "B", B: "A", tie: "tie", R: "R" };
  const turned = (letter, flipped) => (flipped ? other[letter] : letter);
  const pairOf = (value, flipped) => (flipped ? [value[1], value[0]] : value);
  const stored = {
    get: (name) => { try { return JSON.parse(localStorage.getItem(name)); } catch { return null; } },
    set: (name, value) => { try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* private window */ } },
  };
  const memory = (what) => `votes ${test} ${sameName(rater)} ${what}`;

  // --- a page that carries its sounds ---

  const page = {
    begin: async () => {
      for (const [trial, vote] of Object.entries(stored.get(memory("votes")) || {})) votes.set(trial, vote);
      return embedded;
    },
    sound: async (name) => "data:audio/flac;base64," + name,
    keep: () => stored.set(memory("votes"), Object.fromEntries(votes)), // a closed page loses nothing
    waiting: () => 0,
  };

  // --- a page of the server ---

  const outbox = []; // votes that the server has not confirmed
  let sending = false;
  let enough = false;
  let failures = 0;
  let refused = "";
  const call = async (path, body) => {
    const headers = { "X-Votes-Token": location.hash.slice(1) };
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store" });
    if (answer.ok) return answer;
    const told = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(told.error || `the server answered ${answer.status}`), { status: answer.status });
  };
  const secret = () => {
    let key = stored.get(memory("key"));
    if (!key) {
      key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      stored.set(memory("key"), key);
    }
    return key;
  };
  const sounds = new Map(); // name -> promise of an address
  const tell = (text, bad = false) => { by("saved").textContent = text; by("saved").classList.toggle("bad", bad); };
  const server = {
    begin: async () => {
      server.key = secret();
      const answer = await (await call("api/begin", { rater, key: server.key })).json();
      for (const [trial, vote] of Object.entries(answer.votes)) votes.set(trial, vote);
      for (const [trial, vote] of stored.get(memory("outbox")) || []) { votes.set(trial, vote); outbox.push([trial, vote]); }
      enough = answer.enough;
      server.send();
      return answer.trials;
    },
    sound: (name) => {
      if (!sounds.has(name)) {
        sounds.set(name, call("api/sound/" + name).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob)));
        sounds.get(name).catch(() => sounds.delete(name));
      }
      return sounds.get(name);
    },
    keep: (trial) => { outbox.push([trial, votes.get(trial)]); stored.set(memory("outbox"), outbox); server.send(); },
    waiting: () => outbox.length,
    send: async () => {
      if (sending) return;
      sending = true;
      while (outbox.length) {
        const [trial, vote] = outbox[0];
        tell("Saving…");
        try {
          const answer = await (await call("api/vote", { rater, key: server.key, trial, ...vote })).json();
          enough = answer.enough;
          failures = 0;
        } catch (error) {
          if (error.status !== 409 && error.status !== 422) {
            failures += 1;
            tell(`${outbox.length} of your votes ${outbox.length === 1 ? "is" : "are"} not saved yet (${error.message}). Keep this page open: it tries again.`, true);
            await new Promise((done) => setTimeout(done, Math.min(10000, 500 * 2 ** failures)));
            continue;
          }
          refused = `A vote was refused (${error.message}). Please load the page again.`;
        }
        outbox.shift();
        stored.set(memory("outbox"), outbox);
        tell(refused || "All your votes are saved.", Boolean(refused));
      }
      sending = false;
      if (enough || at >= trials.length) show();
    },
  };
  const source = embedded ? page : server;

  // --- the pair shown ---

  const stop = () => { if (audio) audio.pause(); audio = null; document.querySelectorAll(".playing").forEach((b) => b.classList.remove("playing")); };
  const counted = () => trials.filter((trial) => !trial.practice);
  const done = () => counted().filter(({ trial }) => votes.has(trial)).length;
  const firstOpen = () => { const open = trials.findIndex(({ trial }) => !votes.has(trial)); return open < 0 ? trials.length : open; };
  const heardAll = (trial) => votes.has(trial) || letters.every((letter) => heard.get(trial)?.has(letter));
  const rated = () => scales.every((scale) => draft[scale]?.every(Boolean));

  const show = () => {
    const over = at >= trials.length || (enough && !source.waiting());
    by("trial").hidden = over;
    by("end").hidden = !over;
    if (over) {
      stop();
      const all = counted().length;
      by("review").hidden = enough;
      by("thanks").textContent = enough ? "Enough votes are in. Thank you, you can close this page." :
        `${done()} of ${all} pairs voted on. ` +
        (done() < all ? "You can go back to the skipped pairs." :
          source.waiting() ? "Please wait until all are saved." : embedded ? "Thank you." : "Thank you, you can close this page.");
      by("thanks").focus();
      return;
    }
    const { trial, practice, text } = trials[at];
    const practices = trials.length - counted().length;
    by("place").textContent = practice ? `Practice ${at + 1} of ${practices}: this does not count` :
      `Pair ${at + 1 - practices} of ${counted().length}, ${done()} voted on`;
    by("progress").max = counted().length;
    by("progress").value = done();
    by("words").textContent = text;
    by("back").setAttribute("aria-disabled", String(at === 0));
    const ready = heardAll(trial);
    const complete = Boolean(draft.choice) && rated();
    by("hint").textContent = ready ? "" : letters.length > 2 ? "Play all three first." : "Play both first.";
    if (scales.length) by("open").textContent = draft.choice && !rated() ? "Rate both recordings on each scale." : "";
    by("next").textContent = scales.length && complete ? "Next" : votes.has(trial) ? "Next" : "Skip";
    by("next").classList.toggle("main", scales.length > 0 && complete);
    letters.forEach((letter) => by("play" + letter).classList.toggle("heard", Boolean(heard.get(trial)?.has(letter))));
    for (const button of choiceButtons) {
      button.setAttribute("aria-disabled", String(!ready));
      button.setAttribute("aria-pressed", String(draft.choice === button.dataset.choice));
    }
    for (const scale of scales) {
      ["A", "B"].forEach((side, i) => document.querySelectorAll(`input[name=${scale}${side}]`).forEach((input) => {
        input.checked = Number(input.value) === draft[scale]?.[i];
        input.disabled = !ready;
      }));
    }
  };

  const go = (to) => {
    stop();
    at = Math.max(0, Math.min(trials.length, to));
    const here = trials[at];
    const before = here && votes.get(here.trial);
    draft = before ? { choice: turned(before.choice, here.flipped) } : {};
    for (const scale of scales) draft[scale] = before?.[scale] ? pairOf(before[scale], here.flipped) : [0, 0];
    since = performance.now();
    show();
    if (by("trial").hidden) return;
    by("words").focus();
    for (const near of [at, at + 1]) if (trials[near] && !embedded) for (const letter of letters) source.sound(soundOf(near, letter)).catch(() => {});
  };

  const soundOf = (index, letter) => trials[index].sounds[turned(letter, trials[index].flipped)];
  const play = async (letter) => {
    if (!by("play" + letter)) return;
    stop();
    const here = at;
    const { trial } = trials[here];
    try {
      const address = await source.sound(soundOf(here, letter));
      if (here !== at) return;
      stop();
      audio = new Audio(address);
      audio.addEventListener("ended", () => {
        if (!heard.has(trial)) heard.set(trial, new Set());
        heard.get(trial).add(letter);
        by("play" + letter).classList.remove("playing");
        if (here === at) show();
      });
      by("play" + letter).classList.add("playing");
      await audio.play();
    } catch (error) {
      if (error.name === "AbortError") return; // another sound was begun
      by("play" + letter).classList.remove("playing");
      by("hint").textContent = `The sound could not be played (${error.message}). Try again.`;
    }
  };

  const commit = () => {
    const { trial, flipped } = trials[at];
    const before = votes.get(trial);
    const vote = { choice: turned(draft.choice, flipped), flipped, seconds: Math.round((performance.now() - since) / 100) / 10, revision: (before?.revision || 0) + 1 };
    for (const scale of scales) vote[scale] = pairOf(draft[scale], flipped);
    const same = before && before.choice === vote.choice && scales.every((scale) => String(before[scale]) === String(vote[scale]));
    if (!same) { votes.set(trial, vote); source.keep(trial); }
    go(at + 1);
  };
  const choose = (choice) => {
    if (!heardAll(trials[at].trial)) return; // no vote before the sounds were played
    draft.choice = choice;
    if (scales.length) show(); else commit();
  };
  const next = () => { if (draft.choice && rated() && scales.length) commit(); else go(at + 1); };

  // --- the file to save ---

  const quoted = (cell) => (/[",\r\n]/.test(cell) ? '"' + cell.replaceAll('"', '""') + '"' : cell);
  const sheet = () => {
    const lines = trials.filter(({ trial }) => votes.has(trial)).map(({ trial }) => {
      const vote = votes.get(trial);
      const [qa, qb] = vote.quality || ["", ""];
      const [sa, sb] = vote.similarity || ["", ""];
      const line = { test, trial, choice: vote.choice, flipped: Number(vote.flipped), rater, quality_a: qa, quality_b: qb, similarity_a: sa, similarity_b: sb, seconds: vote.seconds };
      return columns.map((name) => quoted(String(line[name])));
    });
    return [columns, ...lines].map((cells) => cells.join(",") + "\n").join("");
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([sheet()], { type: "text/csv" }));
    link.download = `votes-${test}-${rater.replace(/[^\p{L}\p{N}]+/gu, "_")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  by("begin").addEventListener("submit", async (event) => {
    event.preventDefault();
    rater = by("rater").value.trim();
    by("problem").textContent = unusable(rater);
    if (unusable(rater)) return;
    try {
      trials = prepare(await source.begin());
    } catch (error) {
      by("problem").textContent = error.message;
      return;
    }
    by("begin").hidden = true;
    go(firstOpen());
  });
  letters.forEach((letter) => by("play" + letter).addEventListener("click", () => play(letter)));
  choiceButtons.forEach((button) => button.addEventListener("click", () => choose(button.dataset.choice)));
  document.querySelectorAll(".rating input").forEach((input) => input.addEventListener("change", () => {
    const scale = input.name.slice(0, -1);
    draft[scale][input.name.endsWith("A") ? 0 : 1] = Number(input.value);
    show();
  }));
  by("back").addEventListener("click", () => { if (at > 0) go(at - 1); });
  by("next").addEventListener("click", next);
  by("review").addEventListener("click", () => go(firstOpen() < trials.length ? firstOpen() : 0));
  document.querySelectorAll(".save").forEach((button) => button.addEventListener("click", save));
  window.addEventListener("beforeunload", (event) => { if (source.waiting()) event.preventDefault(); });
  document.addEventListener("keydown", (event) => {
    if (by("trial").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const act = { 1: () => play("A"), 2: () => play("B"), 3: () => play("R"), a: () => choose("A"), b: () => choose("B"), t: () => choose("tie") };
    const chosen = act[event.key.toLowerCase()];
    if (chosen) { event.preventDefault(); chosen(); }
  });
})();
