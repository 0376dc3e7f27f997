// One pair at a time: play both sounds, then vote. The votes become the filled-in sheet as a file to save.
(() => {
  "use strict";
  const { columns, iteration, trials } = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const choices = trials.map(() => ""); // "A", "B", "tie" or "" (not voted on)
  const heard = trials.map(() => [false, false]);
  const plays = [by("playA"), by("playB")];
  const votes = [...document.querySelectorAll(".vote")];
  let rater = "";
  let at = 0;
  let audio = null;

  // A closed page loses nothing: votes are kept in the browser for each rater and sheet.
  const key = () => "votes " + rater + " " + trials.map(({ line }) => line.a_tokens + line.b_tokens).join();
  const remember = () => { try { localStorage.setItem(key(), JSON.stringify(choices)); } catch { /* private window */ } };
  const recall = () => {
    try { (JSON.parse(localStorage.getItem(key())) || []).forEach((c, i) => { if (i in choices) choices[i] = c; }); } catch { /* none */ }
  };

  const stop = () => { if (audio) audio.pause(); audio = null; };
  const done = () => choices.filter(Boolean).length;

  const show = () => {
    const over = at >= trials.length;
    by("trial").hidden = over;
    by("end").hidden = !over;
    if (over) {
      by("thanks").textContent = `${done()} of ${trials.length} pairs voted on. ` +
        (done() === trials.length ? "Thank you." : "You can go back to the skipped pairs, or save these votes.");
      by("thanks").focus();
      return;
    }
    by("place").textContent = `Pair ${at + 1} of ${trials.length}, ${done()} voted on`;
    by("progress").value = done();
    by("words").textContent = trials[at].line.text;
    by("back").setAttribute("aria-disabled", String(at === 0));
    const ready = heard[at].every(Boolean) || choices[at] !== "";
    by("hint").textContent = ready ? "" : "Play both first.";
    plays.forEach((button, i) => button.classList.toggle("heard", heard[at][i]));
    for (const button of votes) {
      button.setAttribute("aria-disabled", String(!ready));
      button.setAttribute("aria-pressed", String(choices[at] === button.dataset.choice));
    }
  };
  const go = (to) => { stop(); at = Math.max(0, Math.min(trials.length, to)); show(); if (at < trials.length) by("words").focus(); };

  const play = (i) => {
    stop();
    const here = at;
    audio = new Audio("data:audio/flac;base64," + trials[here].sounds[i]);
    audio.addEventListener("ended", () => { heard[here][i] = true; if (here === at) show(); });
    audio.play().catch((error) => { by("hint").textContent = `This browser cannot play the sound (${error.message}).`; });
  };
  const vote = (choice) => {
    if (!heard[at].every(Boolean) && choices[at] === "") return; // no vote before both sounds were heard
    choices[at] = choice;
    remember();
    go(at + 1);
  };

  const quoted = (cell) => /[",\r\n]/.test(cell) ? '"' + cell.replaceAll('"', '""') + '"' : cell;
  const sheet = () => {
    const filled = trials.map(({ line }, i) => ({ ...line, choice: choices[i], rater })).filter((line) => line.choice);
    return [columns, ...filled.map((line) => columns.map((name) => line[name]))]
      .map((cells) => cells.map(quoted).join(",") + "\n").join("");
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([sheet()], { type: "text/csv" }));
    link.download = `votes-${iteration}-${rater.replace(/[^\p{L}\p{N}]+/gu, "_")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  by("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    rater = by("rater").value.trim();
    if (!rater) return;
    recall();
    by("begin").hidden = true;
    go(choices.includes("") ? choices.indexOf("") : trials.length);
  });
  plays.forEach((button, i) => button.addEventListener("click", () => play(i)));
  votes.forEach((button) => button.addEventListener("click", () => vote(button.dataset.choice)));
  by("back").addEventListener("click", () => go(at - 1));
  by("next").addEventListener("click", () => go(at + 1));
  by("review").addEventListener("click", () => go(choices.includes("") ? choices.indexOf("") : 0));
  document.querySelectorAll(".save").forEach((button) => button.addEventListener("click", save));
  document.addEventListener("keydown", (event) => {
    if (by("trial").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const act = { 1: () => play(0), 2: () => play(1), a: () => vote("A"), b: () => vote("B"), t: () => vote("tie") };
    const chosen = act[event.key.toLowerCase()];
    if (chosen) { event.preventDefault(); chosen(); }
  });
})();
