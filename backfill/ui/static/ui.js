// Asks for each part of a page again, in the part's own time, and puts in place what is answered.
// Nothing is asked for while nobody looks at the page, or once its updates are paused.
"use strict";

const HIDDEN_WAIT = 1000;
const TROUBLE_WAIT = 5000;
const GONE = "The page was started anew, or its address is not this one: open the one that dynaurora ui printed.";
const AWAY = "dynaurora ui does not answer. Is it still running? What is shown is as it was.";
const liveness = document.getElementById("liveness");
let isPaused = false;

function tell(text) {
  if (liveness.textContent !== text) {
    liveness.textContent = text;
  }
}

function keepPlace(content, replace) {
  const open = new Set([...content.querySelectorAll("details[open]")].map((details) => details.id));
  const focused = content.contains(document.activeElement) ? document.activeElement : null;
  const links = [...content.querySelectorAll("a, summary, [tabindex]")];
  const number = focused ? links.indexOf(focused) : -1;
  const scrolled = [...content.querySelectorAll(".wide, pre")].map((box) => [box.scrollLeft, box.scrollTop]);
  replace();
  for (const details of content.querySelectorAll("details")) {
    details.open = open.has(details.id);
  }
  [...content.querySelectorAll(".wide, pre")].forEach((box, index) => {
    [box.scrollLeft, box.scrollTop] = scrolled[index] || [0, 0];
  });
  const again = content.querySelectorAll("a, summary, [tabindex]")[number];
  if (again) {
    again.focus({ preventScroll: true });
  }
}

async function ask(section) {
  const content = section.querySelector(".content");
  let wait = TROUBLE_WAIT;
  try {
    const answer = await fetch(section.dataset.part, { credentials: "same-origin", cache: "no-store" });
    const text = await answer.text();
    if (answer.ok) {
      wait = 1000 * Number(answer.headers.get("Dynaurora-Again") || 15);
      if (text !== section.shown) {
        section.shown = text;
        keepPlace(content, () => { content.innerHTML = text; });
      }
      tell("");
    } else {
      tell(answer.status === 403 ? GONE : "A part of this page could not be asked for: " + answer.status);
    }
  } catch (problem) {
    tell(AWAY);
  }
  setTimeout(follow, wait, section);
}

function follow(section) {
  if (document.hidden || isPaused) {
    setTimeout(follow, HIDDEN_WAIT, section);
  } else {
    ask(section);
  }
}

function addPause() {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Pause updates";
  button.addEventListener("click", () => {
    isPaused = !isPaused;
    button.textContent = isPaused ? "Go on with updates" : "Pause updates";
  });
  liveness.before(button, " ");
}

const sections = document.querySelectorAll("[data-part]");
if (sections.length) {
  addPause();
}
sections.forEach(follow);
