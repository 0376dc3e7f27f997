// Turns each <audio controls> into a button next to its spectrogram. Without scripts the browser's own controls stay.
(() => {
  "use strict";
  document.documentElement.classList.add("script");
  const icons =
    '<svg class="play" viewBox="0 0 16 16" aria-hidden="true"><path d="M3 1.5v13l11-6.5z"/></svg>' +
    '<svg class="pause" viewBox="0 0 16 16" aria-hidden="true"><path d="M3 2h4v12H3zM9 2h4v12H9z"/></svg>';
  let current = null; // the sound that plays; at most one does
  let queue = []; // what "Play all" has left

  const play = (audio) => {
    if (current && current !== audio) current.pause();
    current = audio;
    audio.play().catch(() => { queue = []; });
  };

  for (const player of document.querySelectorAll(".player")) {
    const audio = player.querySelector("audio");
    const picture = player.querySelector(".picture");
    const head = player.querySelector(".head");
    const button = document.createElement("button");
    const name = audio.getAttribute("aria-label");
    button.type = "button";
    button.innerHTML = icons;
    player.prepend(button);
    player.classList.add("ready");
    audio.removeAttribute("controls");

    const show = () => {
      const on = !audio.paused && !audio.ended;
      button.setAttribute("aria-pressed", String(on));
      button.setAttribute("aria-label", "Play " + name);
      player.classList.toggle("playing", on || (audio.currentTime > 0 && !audio.ended));
    };
    const follow = () => {
      if (audio.duration) head.style.left = (100 * audio.currentTime) / audio.duration + "%";
      if (!audio.paused) requestAnimationFrame(follow);
    };
    button.addEventListener("click", () => {
      queue = [];
      if (audio.paused) play(audio);
      else audio.pause();
    });
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      const jump = () => { audio.currentTime = share * audio.duration; };
      queue = [];
      if (audio.readyState > 0) jump();
      else audio.addEventListener("loadedmetadata", jump, { once: true });
      play(audio);
    });
    audio.addEventListener("play", () => { show(); follow(); });
    audio.addEventListener("pause", show);
    audio.addEventListener("ended", () => {
      show();
      const next = queue.shift();
      if (next) setTimeout(play, 250, next);
    });
    show();
  }

  for (const card of document.querySelectorAll(".card")) {
    const buttons = [...card.querySelectorAll(".player button")];
    card.querySelector("button.all")?.addEventListener("click", () => {
      queue = [...card.querySelectorAll(".player audio")];
      for (const audio of queue) if (audio.readyState > 0) audio.currentTime = 0;
      const first = queue.shift();
      if (first) play(first);
    });
    card.addEventListener("keydown", (event) => {
      const at = buttons.indexOf(document.activeElement);
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (at < 0 || !step) return;
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length].focus();
    });
  }
})();
