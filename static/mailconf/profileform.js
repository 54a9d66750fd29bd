/* The profile form while it is filled in: presets, ports, hints, the password. The page works without this,
   by the buttons "Fill in" and those of the hints. Which port goes with which security, what a preset fills
   and what a hint says is decided on the server (smtp_settings/presets, smtp_settings/hints); this only asks.
   The password never leaves by this script: hints get its length and the beginnings providers give to keys. */
(() => {
    "use strict";

    const id = (name) => document.getElementById(name);
    const form = id("smtpprofile_form"), place = id("mc-form");
    if (!form?.elements.preset || !place) { return; } // a page for looking has no fields
    const data = JSON.parse(place.textContent);
    document.documentElement.classList.add("mc-js");

    // Fields

    const field = (name) => form.elements[name];
    const value = (name) => field(name)?.value ?? "";
    let isOurs = false; // while the script itself writes into fields

    // Writes values as if they had been typed, and returns what was there.
    function put(changes) {
        const held = {};
        isOurs = true;
        for (const [name, text] of Object.entries(changes)) {
            const target = field(name);
            if (!target) { continue; }
            held[name] = target.value;
            target.value = text;
            const one = target instanceof RadioNodeList ? [...target].find((radio) => radio.checked) : target;
            for (const kind of ["input", "change"]) { one?.dispatchEvent(new Event(kind, {bubbles: true})); }
        }
        isOurs = false;
        return held;
    }

    // Words

    const say = (text) => { id("mc-say").textContent = text; };

    function caption(name) {
        const row = form.querySelector(`.field-${name} > :is(label, .mc-label)`);
        return row ? row.firstChild.textContent.trim() : name;
    }

    function shown(name, text) {
        const target = field(name);
        if (!(target instanceof RadioNodeList)) { return text || "–"; }
        return [...target].find((radio) => radio.value === text)?.parentElement.textContent.trim() ?? text;
    }

    const difference = (held) => Object.entries(held).filter(([name, text]) => text !== value(name))
        .map(([name, text]) => `${caption(name)}: ${shown(name, text)} → ${shown(name, value(name))}`).join(", ");

    // A sentence about what was just written into fields, with the way back.
    function tell(where, sentence, restore) {
        const line = document.createElement("p"), undo = document.createElement("button");
        undo.type = "button";
        undo.className = "mc-button is-plain";
        undo.textContent = data.words.undo;
        undo.addEventListener("click", () => { line.remove(); restore(); });
        line.append(sentence, " ", undo);
        where.replaceChildren(line);
        say(sentence);
        return line;
    }

    // Asking

    async function ask(url) {
        const body = new FormData(form), password = value("password");
        body.delete("password");
        body.set("_object_id", data.object);
        body.set("_password_length", password.length);
        body.set("_password_start", data.starts.find((start) => password.startsWith(start)) ?? "");
        body.set("_password_same", password && password === value("username") ? "on" : "");
        body.set("_password_space", /^\s/.test(password) ? "start" : /\s$/.test(password) ? "end" : "");
        try {
            const response = await fetch(url, {method: "POST", body});
            return response.ok && !response.redirected ? await response.json() : null;
        } catch { return null; } // no hint is worth a complaint; the test panel says when the server is gone
    }

    // Presets

    const preset = field("preset"), note = id("mc-preset-note");
    let chosen = preset.value, byKey = false, fillTimer = 0, fillCount = 0;

    async function fill() {
        const count = ++fillCount, before = {preset: chosen, _preset_before: value("_preset_before")};
        const answer = await ask(data.fill);
        if (!answer || count !== fillCount) { return; }
        const noteBefore = note.innerHTML;
        chosen = preset.value;
        const held = put(chosen ? {...answer.changes, _preset_before: chosen} : {});
        note.innerHTML = answer.html;
        id("mc-filled").replaceChildren();
        if (answer.sentence) {
            tell(id("mc-filled"), answer.sentence, () => {
                note.innerHTML = noteBefore;
                chosen = before.preset;
                put({...held, ...before});
                preset.focus();
            });
        }
        const region = id("id_preset_region");
        const next = region && !region.value ? region : answer.focus && field(answer.focus);
        if (next && !byKey) { next.focus(); }
        refresh();
    }

    preset.addEventListener("change", () => {
        if (isOurs) { return; }
        clearTimeout(fillTimer);
        // Arrow keys choose on the way: wait for the last one, and leave the focus where the keys go.
        fillTimer = setTimeout(fill, byKey ? 350 : 0);
    });
    preset.addEventListener("keydown", (event) => { byKey = event.key !== "Enter"; });
    preset.addEventListener("pointerdown", () => { byKey = false; });
    note.addEventListener("change", (event) => { if (event.target.id === "id_preset_region") { byKey = false; fill(); } });

    // Server, security, port

    const SERVER = /^(?:(smtps?|submissions?):\/\/)?(?:\[([0-9a-f:.]+)\]|([^\s[\]:/@?#]+))(?::(\d{1,5}))?\/?$/i;
    const SCHEMES = {smtps: "465", submissions: "465", submission: "587"};

    field("host")?.addEventListener("change", () => {
        if (isOurs) { return; }
        const found = SERVER.exec(value("host").trim());
        const port = found && (found[4] ?? SCHEMES[(found[1] ?? "").toLowerCase()] ?? "");
        const changes = {host: found ? found[2] ?? found[3] : value("host").trim()};
        if (port) { changes.port = port; }
        if (changes.host === value("host") && !port) { return; }
        const typed = value("host"), held = put(changes);
        if (port) { offerBack("host", {...held, host: typed}); }
    });

    // The port follows the security while it holds a port people know; a port of one's own stays.
    form.addEventListener("change", (event) => {
        if (isOurs || event.target.name !== "security" || !data.known.includes(value("port"))) { return; }
        const own = Object.fromEntries((preset.selectedOptions[0].dataset.ports ?? "").split(" ").map((one) => one.split(":")));
        put({port: own[value("security")] ?? data.usual[value("security")]});
    });

    // Hints and their buttons

    let hintTimer = 0, hintCount = 0, nameProposed = value("name"), nameIsOwn = Boolean(value("name"));

    async function hint() {
        const count = ++hintCount, answer = await ask(data.hints);
        if (!answer || count !== hintCount) { return; }
        const found = new Map(answer.hints.map((one) => [`id_${one.field}_hint`, one.html]));
        for (const box of form.querySelectorAll(".mc-hints")) {
            const html = found.get(box.id) ?? "";
            if (box.dataset.html === html || box.innerHTML === html) { continue; }
            const had = box.textContent;
            box.innerHTML = html;
            box.dataset.html = html;
            const sentence = box.querySelector(".mc-hint")?.firstChild.textContent.trim();
            if (sentence && !had.includes(sentence)) { say(sentence); }
        }
        if (!nameIsOwn && !data.object && answer.name && answer.name !== value("name")) {
            nameProposed = answer.name;
            put({name: answer.name});
        }
    }

    function refresh() {
        again();
        from();
        clearTimeout(hintTimer);
        ++hintCount;  // what is on its way is about other values
        hintTimer = setTimeout(hint, 400);
    }

    form.addEventListener("input", (event) => {
        if (isOurs) { return; }
        if (event.target.name === "name") { nameIsOwn = event.target.value !== nameProposed; }
        refresh();
    });
    form.addEventListener("change", () => { if (!isOurs) { refresh(); } });
    // The token is of a session that is over, until the next save renews it.
    document.addEventListener("mc:signed_out", () => clearTimeout(hintTimer));

    form.addEventListener("click", (event) => {
        const button = event.target.closest("button[name=_fix]");
        if (!button) { return; }
        event.preventDefault();
        const row = button.closest(".form-row"), held = put(Object.fromEntries(new URLSearchParams(button.value)));
        offerBack(row ? row.querySelector(".mc-hints").id.slice(3, -5) : "host", held);
        refresh();
    });

    // Says below a field what a button changed there, and takes it back.
    function offerBack(name, held) {
        const row = form.querySelector(`.form-row.field-${name}`);
        let box = row.querySelector(".mc-filled");
        if (!box) {
            box = document.createElement("div");
            box.className = "mc-filled";
            row.append(box);
        }
        tell(box, difference(held), () => { put(held); [field(name)].flat()[0]?.focus?.(); refresh(); });
    }

    // The password

    const password = field("password"), show = id("mc-show"), again_ = id("mc-again");
    const remove = id("mc-remove"), removed = id("mc-removed"), tick = field("remove_password");
    const APP_PASSWORD = /^[a-z]{4}(?:[ \u00a0][a-z]{4}){3}$/, GOOGLE = /(?:^|\.)(?:gmail|google|googlemail)\.com\.?$/i;

    const plain = (name, text) => name === "host" ? text.trim().toLowerCase() : text.trim().replace(/\s+/g, " ");
    const differs = ({values}) => Object.entries(values).some(([name, text]) => plain(name, value(name)) !== plain(name, text));

    // A kept password belongs to the settings it was entered for: asked for as soon as they change.
    function again() {
        const isNeeded = value("auth") === "password" && !password.value && !tick.checked
            && data.kept.length && data.kept.every(differs);
        const sentence = isNeeded ? data.kept[0].sentence : "";
        if (again_.textContent === sentence) { return; }
        again_.textContent = sentence;
        again_.hidden = !sentence;
        if (sentence) { say(sentence); }
    }

    function showable() {
        show.hidden = !password.value;
        if (!password.value) { reveal(false); }
    }

    function reveal(isShown) {
        password.type = isShown ? "text" : "password";
        show.setAttribute("aria-pressed", String(isShown));
    }

    password?.addEventListener("input", showable);
    password?.addEventListener("change", () => {
        if (!isOurs && GOOGLE.test(value("host").trim()) && APP_PASSWORD.test(password.value.trim())) {
            put({password: password.value.replace(/\s/g, "")});
        }
    });
    show?.addEventListener("click", () => reveal(password.type === "password"));
    form.addEventListener("submit", () => reveal(false)); // browsers remember what was typed into text fields

    function removal(isWanted) {
        tick.checked = isWanted;
        tick.dispatchEvent(new Event("change", {bubbles: true}));
        remove.hidden = isWanted;
        removed.hidden = !isWanted;
        password.disabled = isWanted;
        if (isWanted) { put({password: ""}); showable(); }
        (isWanted ? id("mc-keep") : remove).focus();
        if (isWanted) { say(removed.firstChild.textContent.trim()); }
    }

    if (tick?.type === "checkbox") {
        remove.hidden = tick.checked;
        removed.hidden = !tick.checked;
        remove.addEventListener("click", () => removal(true));
        id("mc-keep").addEventListener("click", () => removal(false));
    }

    // The From header as recipients see it

    function from() {
        const address = value("from_address").trim(), name = value("from_name").trim();
        const quoted = /[()<>@,;:\\".[\]]/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name;
        id("mc-from").hidden = !address.includes("@");
        id("mc-from").querySelector("code").textContent = name ? `${quoted} <${address}>` : address;
    }

    // What the browser put back (reload, back) is looked at like what is typed.
    window.addEventListener("pageshow", (event) => {
        chosen = preset.value;
        showable();
        again();
        from();
        if (event.persisted) { hint(); }
    });
})();
