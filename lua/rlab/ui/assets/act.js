// Actions: each says what it touches and shows the Lua line that does the same; what destroys asks first, and
// what was done leaves a line at the foot.
import { $, h, say } from "./dom.js";

const token = $("meta[name=rlab-token]").content;

export async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

export async function post(path, what) {
  const answer = await fetch(path, {
    method: "POST",
    body: JSON.stringify(what),
    headers: { "content-type": "application/json", "x-rlab-token": token },
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

export function log(lua, said) {
  say($("#log-time"), new Date().toTimeString().slice(0, 8));
  say($("#log-lua"), lua.replace(/\s+/g, " "));
  say($("#log-said"), said);
}

// Text as it stands in a line of Lua.
export function quoted(text) {
  return (
    '"' +
    String(text)
      .replace(/[\\"]/g, "\\$&")
      .replace(/[\x00-\x1f\x7f]/g, (c) => "\\" + String(c.charCodeAt(0)).padStart(3, "0")) +
    '"'
  );
}

export function lua(line) {
  const copy = h("button", { type: "button", class: "copy" }, "copy");
  copy.addEventListener("click", () => {
    navigator.clipboard?.writeText(line).then(
      () => say(copy, "copied"),
      () => say(copy, "not copied"),
    );
  });
  return h("div", { class: "lua" }, h("pre", {}, line), copy);
}

// action{label, what, lua, run, ask}: run() -> what was done; ask() -> what will be touched, asked before
export function action(one) {
  const box = h("div", { class: "act" });
  const go = h("button", { type: "button", class: one.ask ? "button grave" : "button" }, one.label);
  const said = h("p", { class: "said", role: "status" });
  const perform = async () => {
    go.disabled = true;
    try {
      const done = await one.run();
      say(said, done);
      log(one.lua, done);
    } catch (failure) {
      say(said, failure.message);
      log(one.lua, failure.message);
    }
    go.disabled = false;
  };
  go.addEventListener("click", () => (one.ask ? confirmed(box, one, perform) : perform()));
  box.append(go, h("p", {}, one.what), lua(one.lua), said);
  return box;
}

async function confirmed(box, one, perform) {
  $(".ask", box)?.remove();
  let text;
  try {
    text = await one.ask();
  } catch (failure) {
    say($(".said", box), failure.message);
    return;
  }
  const question = h("div", { class: "ask" }, h("p", {}, text));
  const end = () => {
    question.remove();
    $("button", box).focus();
  };
  question.append(
    h(
      "button",
      {
        type: "button",
        class: "button grave",
        onclick: () => {
          end();
          perform();
        },
      },
      one.label,
    ),
    h("button", { type: "button", class: "button", onclick: end }, "Leave it"),
  );
  $("p", box).after(question);
}
