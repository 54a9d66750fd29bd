/* The live test panel: starts tests, shows each step as it happens, and says what stands between the form and
   Save. The pages work without it, and the server decides about every save again: smtp_settings/admin/panel/states.py
   has the same states in the same order. Which fields count comes with the page; there is no second list here. */
(() => {
    "use strict";

    // The field that says where a method leads that is no SMTP.
    const WAYS = {sendmail: "program", pickup: "directory", mailgun: "api_domain", ses: "region"};

    const id = (name) => document.getElementById(name);
    const fill = (text, facts) => text.replace(/%\((\w+)\)s/g, (_, name) => facts[name]);

    const box = id("mc-run"), about = id("mc-test-data");
    if (!box || !about) { return; }
    const data = JSON.parse(about.textContent), say = data.say, words = data.words;
    const form = id("smtpprofile_form"), status = id("mc-test-status"), stop = id("mc-stop");

    // What is known. `run` is what the server said last of the test that is shown; `tested` the last pass that
    // counts for this form; `sent` the entries this page sent with its own test.
    let run = null, tested = null, sent = null, trouble = "", problem = data.problem;
    let address = "", seq = -1, timer = 0, failures = 0, isAsked = Boolean(data.poll);
    const isUnderWay = () => Boolean(run) && (run.status === "waiting" || run.status === "running");

    // Following a run

    class SignedOut extends Error {}

    async function ask(url, body) {
        const response = await fetch(url, body ? {method: "POST", body} : {});
        if (response.redirected || response.status === 403) { throw new SignedOut(); }
        if (!response.ok) { throw new Error(String(response.status)); }
        return response.json();
    }

    // Throws when nobody is signed in any more. Who signed in again, in another tab, has another token.
    async function renew() { form.elements.csrfmiddlewaretoken.value = (await ask(data.session)).token; }

    function follow(url) {
        address = url;
        seq = -1;
        failures = 0;
        poll();
    }

    async function poll() {
        clearTimeout(timer);
        if (!address || document.hidden) { return; } // goes on when somebody looks
        const asked = address;
        try {
            const told = await ask(`${asked}?seq=${seq}`);
            if (asked === address) { receive(told); }
        } catch (error) {
            if (asked === address) { lose(error); }
        }
    }

    function lose(error) {
        isAsked = false;
        if (error instanceof SignedOut) {
            [run, address, trouble] = [null, "", "signed_out"];
            document.dispatchEvent(new Event("mc:signed_out"));
        } else if (isUnderWay() && run.id) {
            trouble = "offline";
            timer = setTimeout(poll, 1000 * 2 ** Math.min(failures++, 2));
        } else {
            [run, address, trouble] = [null, "", "unreachable"];
        }
        refresh();
        announce(line());
    }

    function receive(told) {
        const before = run;
        failures = 0;
        isAsked = false;
        if (!before && !told.is_recent) { return forget(); } // of another day
        if (!form && told.status !== "waiting" && told.status !== "running") { return location.reload(); }
        if (told.html !== undefined) { box.innerHTML = told.html; }
        const still = box.querySelector(".mc-step-still");
        if (still) { still.textContent = told.still; }
        if (trouble === "offline") { trouble = ""; }
        [run, seq] = [told, told.seq];
        if (form) {
            keep(told);
            if (told.html !== undefined) { mark(); }
        }
        refresh();
        if (!before || before.announce !== told.announce) { announce(told.announce); }
        if (before && before.status !== told.status && told.status === "passed") { document.dispatchEvent(new Event("mc:passed")); }
        clearTimeout(timer);
        if (isUnderWay()) { timer = setTimeout(poll, 700); }
    }

    // The only live region: one sentence at a time, and none twice.
    function announce(text) {
        if (status && text && status.textContent !== text) { status.textContent = text; }
    }

    stop?.addEventListener("click", async () => {
        const body = new FormData();
        body.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
        try { receive(await ask(run.stop, body)); } catch (error) { lose(error); }
    });

    document.addEventListener("visibilitychange", () => {
        if (document.hidden) { return; }
        // After a pass too: somebody may come back from the inbox, where “I received it” was followed.
        if (isUnderWay() || run?.status === "passed") { poll(); }
        refresh();
    });

    function refresh() {
        if (stop) { stop.hidden = !(isUnderWay() && run.stop); }
        if (form) { show(); }
    }

    if (!form) { // the page of a run only shows it
        if (data.poll) { follow(data.poll); }
        return;
    }

    // The entries: what counts, as text

    const all = (selector) => form.querySelectorAll(selector);
    const make = (tag, what) => Object.assign(document.createElement(tag), what);
    const entry = (name) => form.elements[name];
    const first = (name) => (entry(name) instanceof RadioNodeList ? entry(name)[0] : entry(name));
    const rowOf = (element) => element?.closest(".form-row, .mc-test-to");
    const password = () => entry("password")?.value || "";
    const removes = () => Boolean(entry("remove_password")?.checked);

    function text(name) {
        const field = entry(name);
        if (field.type === "checkbox") { return field.checked ? "on" : ""; }
        return (field.value || "").replace(/\r\n?/g, "\n").trim();
    }

    // A row that is not shown belongs to another method or sign-in: the server drops its value.
    function isUsed(name) {
        const row = rowOf(first(name));
        return Boolean(row) && getComputedStyle(row).display !== "none";
    }

    const counting = () => (data.fields[entry("transport").value] || []).filter((name) => entry(name));

    function entries() {
        const names = counting().filter((name) => name !== "password");
        return {values: Object.fromEntries(names.map((name) => [name, text(name)])), password: password(), removes: removes()};
    }

    // The fields whose entries are not those of `base`; typed or as the server made them of what was typed.
    function differing(base) {
        return counting().filter((name) => {
            if (!isUsed(name)) { return false; }
            if (name !== "password") {
                return ![base.values[name], base.typed?.[name]].includes(text(name));
            }
            return (password() !== "" && password() !== base.password) || removes() !== Boolean(base.removes);
        });
    }

    const saved = data.saved && {values: data.saved, password: ""};
    const isUnchanged = () => data.live && differing(saved).length === 0;
    const isOf = (base) => base !== null && differing(base).length === 0;

    function write(values) {
        for (const round of [1, 2]) { // twice: one entry may move another, as the security moves the port
            for (const [name, value] of Object.entries(values)) {
                const field = entry(name);
                if (!field) { continue; }
                if (field.type === "checkbox") { field.checked = value === "on"; } else { field.value = value; }
                if (round === 2) { continue; }
                const element = field instanceof RadioNodeList ? form.querySelector(`[name=${name}]:checked`) : field;
                element?.dispatchEvent(new Event("input", {bubbles: true}));
                element?.dispatchEvent(new Event("change", {bubbles: true}));
            }
        }
        refresh();
    }

    // The state, in the order of `states.state_of`

    function state() {
        if (isAsked) { return data.state; } // of the test the page came with; until the server told about it
        if (isUnderWay()) { return run.status; }
        if (trouble === "signed_out") { return trouble; }
        const ended = run?.kind === "send" ? run : null;
        if (isOf(tested) && Date.now() < tested.until) { return tested.state; }
        if (trouble === "incomplete") { return trouble; }
        if (isUnchanged()) { return data.always ? "always" : "unchanged"; }
        if (trouble) { return trouble; }
        if (ended && ended.status !== "passed" && (!tested || isOf(ended.base))) { return ended.status; }
        if (tested) { return isOf(tested) ? "expired" : "stale"; }
        return data.draft ? "draft" : "never";
    }

    const isOpen = () => Boolean(words[state()]?.open);

    function line() {
        const now = state();
        if (isAsked) { return data.line; }
        if (trouble === "offline") { return words.offline.line; }
        if (isUnderWay()) { return run.line; }
        if (now === "notes") { return tested.line; }
        if (now === "unreachable") { return say.unreachable; }
        let fields = "";
        if (now === "stale") {
            const names = differing(tested).map((name) => data.labels[name]), shown = names.slice(0, 2).join(", ");
            fields = names.length > 2 ? fill(say.more, {fields: shown, rest: names.length - 2}) : shown;
        }
        return fill(words[now].line, {fields, problem});
    }

    // Keeps what a run means for the form.
    function keep(told) {
        run.base = sent?.id === told.id ? {...sent, values: told.values, typed: sent.values} : {values: told.values, password: ""};
        if (isUnderWay() || told.kind !== "send") { return; }
        if (told.status !== "passed") {
            if (isOf(tested) && isOf(run.base)) { tested = null; } // the newest test of the same values counts
            return;
        }
        tested = {...run.base, id: told.id, state: told.state, line: told.line, until: Date.now() + 1000 * told.expires_in};
        setTimeout(refresh, 1000 * told.expires_in + 50);
        if (told.state !== "notes") { tested.state = "passed"; }
        if (sent?.id === told.id || isOf(tested)) { adopt(); }
    }

    // From now on an empty password means the one of the test that passed.
    function adopt() {
        entry("_test_run").value = tested.id;
        entry("_password_typed").value = "";
        if (run.signs_in && entry("password")) { entry("password").placeholder = say.keep_tested; }
    }

    // Showing it

    const tests = all("button[name=_send_test]"), checks = all("button[name=_check]");
    const saves = all(".mc-savebar :is([name=_save], [name=_continue])");
    // Enter presses the first submit button in the tree: never one of these.
    for (const button of [...tests, ...checks]) {
        button.type = "button";
        button.dataset.text = button.textContent;
    }

    function show() {
        const now = state(), told = words[now] || words.never, isBusy = isUnderWay(), may = isOpen();
        for (const badge of all(".mc-gate-badge")) {
            if (trouble === "offline") { break; }
            badge.textContent = told.badge;
            badge.className = `mc-badge mc-gate-badge ${told.tone}`;
        }
        id("mc-gate-line").textContent = line();
        for (const button of tests) {
            button.textContent = isBusy && run.kind === "send" ? say.busy : button.dataset.text;
            button.classList.toggle("is-primary", !may);
        }
        for (const button of [...tests, ...checks]) {
            button.classList.toggle("is-busy", isBusy);
            button.ariaDisabled = button.ariaBusy = isBusy ? "true" : null;
        }
        for (const button of saves) {
            button.ariaDisabled = may ? null : "true";
            if (button.name === "_save") { button.classList.toggle("is-primary", may); }
        }
        const act = {stale: "back", limited: data.other && "other", failed: "cause"}[now] || (may || isBusy ? "" : "test");
        for (const link of all("[data-act]")) { link.hidden = link.dataset.act !== act; }
        id("mc-route").textContent = fill(say.route, {
            to: text("test_to") || say.nobody,
            from: text("from_address") || text("test_to") || say.nobody,
            server: text("transport") in WAYS ? text(WAYS[text("transport")]) || say.nowhere
                : text("host") ? `${text("host")}:${text("port")}` : say.nowhere,
        });
    }

    form.addEventListener("click", (event) => {
        const act = event.target.closest("[data-act]")?.dataset.act;
        if (act === "back") {
            const values = {...tested.values, ...tested.typed};
            if (entry("password")) { entry("password").value = tested.password; }
            write(values);
            adopt();
            announce(say.restored);
        } else if (act === "other") {
            [trouble, run] = ["", null];
            follow(data.other);
        }
    });

    // Starting a test

    async function start(kind) {
        if (isUnderWay()) { return; }
        clearErrors();
        unmark(form);
        const mine = entries();
        [trouble, isAsked, address] = ["", false, ""];
        run = {status: "waiting", kind, line: say.started};
        refresh();
        announce(say.started);
        try {
            await renew();
            const body = new FormData(form);
            body.set("_object_id", data.object);
            body.set("_kind", kind);
            const told = await ask(data.start, body);
            if (told.poll) {
                sent = {...mine, id: told.id};
                sessionStorage.setItem(key, told.poll);
                run.stop = told.stop;
                follow(told.poll);
            } else if (told.errors) {
                run = null;
                refuse(told.errors);
            } else {
                [run, trouble, problem, data.other] = [null, "limited", told.limited, told.run];
                refresh();
                announce(line());
            }
        } catch (error) { lose(error); }
    }

    for (const button of tests) { button.addEventListener("click", () => start("send")); }
    for (const button of checks) { button.addEventListener("click", () => start("connect")); }
    form.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            start("send");
        }
    });

    // Wrong fields: shown as the server shows them, the first one focused

    function clearErrors() {
        for (const list of all(".errorlist")) { list.remove(); }
        for (const row of all(".errors")) { row.classList.remove("errors"); }
        for (const field of all("[aria-invalid]")) { field.removeAttribute("aria-invalid"); }
        id("mc-problems")?.remove();
    }

    function refuse(errors) {
        for (const [name, sentences] of Object.entries(errors)) {
            const element = entry(name) && first(name), row = rowOf(element);
            if (!row) { continue; }
            const list = make("ul", {className: "errorlist", id: `id_${name}_error`});
            for (const sentence of sentences) { list.append(make("li", {textContent: sentence})); }
            row.classList.add("errors");
            element.ariaInvalid = "true";
            const hints = row.querySelector(".mc-hints");
            if (hints) { hints.before(list); } else { row.append(list); }
        }
        problem = form.querySelector(".errors .errorlist li")?.textContent || Object.values(errors).flat().join(" ");
        trouble = "incomplete";
        refresh();
        announce(line());
        toFirstWrong();
    }

    function toFirstWrong() {
        const wrong = form.querySelector(".errors :is(input, select, textarea):not([type=hidden])");
        if (!wrong) { return false; }
        unfold(wrong);
        wrong.focus();
        return true;
    }

    // Opens what a row is folded into.
    function unfold(inside) {
        for (let part = inside.closest("details"); part; part = part.parentElement.closest("details")) { part.open = true; }
    }

    // The fields that a cause names, marked until they are changed or the next test starts

    function unmark(part) {
        for (const note of part.querySelectorAll(".mc-look")) {
            note.parentElement.classList.remove("is-named");
            note.remove();
        }
    }

    function mark() {
        unmark(form);
        const changed = differing(run.base);
        for (const link of box.querySelectorAll("[data-field]")) {
            const name = link.dataset.field, row = entry(name) && rowOf(first(name));
            if (!row || changed.includes(name)) { continue; }
            row.classList.add("is-named");
            unfold(row);
            const note = make("p", {className: "mc-look", textContent: say.look});
            row.insertBefore(note, row.querySelector(":scope > .mc-hints"));
        }
    }

    // Saving

    let isLeaving = false, isSure = false, isTouched = false;
    const key = `mc-test-run ${location.pathname}`;
    const forget = () => { address = ""; sessionStorage.removeItem(key); };

    form.addEventListener("submit", (event) => {
        const name = event.submitter?.name || "_save";
        if (isLeaving) { return event.preventDefault(); } // a second click on the way out
        // Who was signed out may be back.
        if (["_save", "_continue", "_addanother"].includes(name) && !isOpen() && (isSure || trouble !== "signed_out")) {
            event.preventDefault();
            announce(fill(say.blocked, {line: line()}));
            if (trouble !== "incomplete" || !toFirstWrong()) { form.querySelector("#mc-test [name=_send_test]").focus(); }
            return;
        }
        isLeaving = true;
        if (!isSure) { // without a session the entries would be gone behind the sign-in
            event.preventDefault();
            return leave(event.submitter);
        }
        sessionStorage.removeItem(key); // from here the page itself names its test
    });

    async function leave(submitter) {
        try { await renew(); } catch (error) {
            isLeaving = false;
            if (error instanceof SignedOut) { lose(error); } else { announce(say.unsaved); }
            return tests[0].focus();
        }
        isLeaving = false;
        isSure = true;
        if (trouble === "signed_out") { trouble = ""; }
        refresh();
        form.requestSubmit(submitter);
        isSure = isLeaving; // not when the browser itself found something missing
    }

    form.addEventListener("input", (event) => {
        if (counting().includes(event.target.name)) { isTouched = true; }
        if (trouble === "incomplete") { trouble = ""; }
        const row = rowOf(event.target);
        if (row) { unmark(row); }
        refresh();
    });
    form.addEventListener("change", refresh);

    window.addEventListener("beforeunload", (event) => {
        if (!isLeaving && isTouched && !isOf(saved)) { event.preventDefault(); }
    });

    // Corrections of a cause

    form.addEventListener("click", (event) => {
        const button = event.target.closest("button[name=_apply]");
        if (!button) { return; }
        event.preventDefault();
        const changes = Object.fromEntries(new URLSearchParams(button.value));
        const before = Object.fromEntries(Object.keys(changes).map((name) => [name, shown(name)]));
        write(changes);
        const told = Object.keys(changes).filter((name) => entry(name)).map(
            (name) => fill(say.change, {field: data.labels[name] || name, before: before[name], after: shown(name)}));
        const note = id("mc-changes"), kind = run?.kind || "send";
        note.textContent = fill(say.changed, {changes: told.join(", ")});
        note.hidden = false;
        tests[0].focus(); // the button that was pressed goes with its cause
        start(kind);
    });

    // An entry as the page shows it, short.
    function shown(name) {
        if (!entry(name)) { return ""; }
        const picked = form.querySelector(`[name=${name}]:checked`)?.closest("label") || entry(name).selectedOptions?.[0];
        return (picked?.textContent || entry(name).value || say.empty).trim().slice(0, 60);
    }

    // Beginning: with the test the page names, or the one that ran when it was left

    window.addEventListener("pageshow", () => { // after Back, too, and when the browser has put values back
        isLeaving = isSure = false;
        if (isUnderWay()) { poll(); }
        refresh();
    });
    const left = data.poll || sessionStorage.getItem(key);
    if (left) { follow(left); }
    refresh();
})();
