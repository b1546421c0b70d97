// SPDX-License-Identifier: MIT
//
// Parses typed input. A text that begins with a slash and a letter is a command, known or not, and
// is never sent to the room: a typo must not publish "/msg bob secret". Pure.
//
//   /me TEXT         sent as the text "/me TEXT", shown as "* ana TEXT"
//   /msg NAME TEXT   writes to one person; a NAME with blanks is put in double quotes
//   /nick NAME       joins again under another name
//   /search TEXT     looks for a text in the past of the room
//   /help
//   //TEXT           sends "/TEXT"

const BLANK = "[\\s\\p{Cc}\\p{Cf}]"; // invisible characters too
const SLASH = "[/／]"; // Chinese input methods may type the full-width one
const COMMAND = new RegExp(`^${BLANK}*${SLASH}(\\p{L}[^\\s]*)\\s*([^]*)$`, "u");
const ESCAPED = new RegExp(`^(${BLANK}*${SLASH})${SLASH}`, "u");
const ADDRESS = /^(?:"([^"]*)"(?=\s|$)|(\S+))\s*([^]*)$/u;
const ACTION = /^\/me\s+(\S[^]*)$/u;

/** The recipient of a /msg, and the rest. A name without quotes is one word; otherwise somebody
 *  named "bob how" would get "/msg bob how are you". */
function readAddress(words) {
  const [, quoted, word, text = ""] = ADDRESS.exec(words) ?? [];
  return { verb: "msg", name: (quoted ?? word ?? "").trim(), text: text.trim() };
}

const VERBS = {
  __proto__: null,
  me: (words) => (words ? { verb: "text", text: `/me ${words}` } : { verb: "lacks", form: "/me TEXT" }),
  msg(words) {
    const command = readAddress(words);
    return command.name ? command : { verb: "lacks", form: "/msg NAME TEXT" };
  },
  nick(words) {
    const name = words.replace(/^"(.*)"$/u, "$1").trim();
    return name ? { verb: "nick", name } : { verb: "lacks", form: "/nick NAME" };
  },
  search: (words) => (words ? { verb: "search", text: words } : { verb: "lacks", form: "/search TEXT" }),
  help: () => ({ verb: "help" }),
};

/**
 * Returns one of: { verb: "text", text } to send unchanged; { verb: "msg", name, text };
 * { verb: "nick", name }; { verb: "search", text }; { verb: "help" }; { verb: "lacks", form } if an argument is missing;
 * { verb: "unknown", word }.
 */
export function readTyped(typed) {
  const [, word, words] = COMMAND.exec(typed) ?? [];
  if (word === undefined) return { verb: "text", text: typed.replace(ESCAPED, "$1") };
  const verb = VERBS[word.toLowerCase()];
  return verb ? verb(words.trim()) : { verb: "unknown", word };
}

/** A text as one line, for a notification. */
export function inOneLine(author, text) {
  const action = actionOf(text);
  return action ? `* ${author} ${action}` : text;
}

/** The action of a "/me" text: "waves" for "/me waves". Undefined for other texts. */
export const actionOf = (text) => ACTION.exec(text)?.[1];
