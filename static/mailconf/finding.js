/* Beside the profile form: the search for settings, the offer of a provider, and the advice about DNS. Without
   this the buttons submit the form and the page comes back with the answer. No password is sent from here. */
(() => {
    "use strict";

    const id = (name) => document.getElementById(name);
    const form = id("smtpprofile_form"), search = id("mc-finding"), dns = id("mc-dns");
    if (!form || !(search || dns)) { return; }

    // Null means that the server gave no answer: gone, signed out, or a fault.
    async function ask(url, method = "POST") {
        const body = new FormData(form);
        body.delete("password");
        try {
            const response = await fetch(url, method === "POST" ? {method, body} : {});
            return response.ok && !response.redirected ? await response.json() : null;
        } catch { return null; }
    }

    function busy(button, isBusy) {
        button.dataset.rest ??= button.textContent;
        button.textContent = isBusy ? button.dataset.busy : button.dataset.rest;
        button.classList.toggle("is-busy", isBusy);
        button.setAttribute("aria-disabled", String(isBusy));
    }

    // To those who listen: the page has one live region.
    const tell = (text) => { id("mc-say").textContent = text; };

    // Find my settings

    function find() {
        const button = id("mc-find"), stop = id("mc-find-stop"), input = id("id__search");
        const status = id("mc-find-status"), results = id("mc-find-results");
        let isRunning = false, urls = null;

        const say = (text) => { if (text && status.textContent !== text) { tell(status.textContent = text); } };

        function end(text) {
            isRunning = false;
            busy(button, false);
            stop.hidden = true;
            say(text);
        }

        async function start() {
            if (isRunning) { return; }
            isRunning = true;
            busy(button, true);
            results.replaceChildren();
            const told = await ask(search.dataset.start);
            input.toggleAttribute("aria-invalid", Boolean(told?.error));
            if (!told || told.error) { return end(told ? told.error : search.dataset.lost); }
            urls = told;
            stop.hidden = false;
            poll();
        }

        async function poll() {
            const told = await ask(urls.poll, "GET");
            if (!told) { return end(search.dataset.lost); }
            show(told);
            if (!told.is_final) { setTimeout(poll, 500); }
        }

        function show(told) {
            if (results.dataset.html !== told.html) { results.innerHTML = results.dataset.html = told.html; }
            if (told.is_final) { end(told.announce); } else { say(told.announce); }
        }

        // What was filled in stands far below: go there, to the first thing still to be entered.
        document.addEventListener("click", (event) => {
            if (!results.contains(event.target) || !event.target.closest("button[name=_fix]")) { return; }
            const next = ["username", "password", "from_address", "name"].map((name) => form.elements[name]);
            next.find((field) => field && !field.value && field.offsetParent)?.focus({preventScroll: true});
            form.querySelector(".field-host").scrollIntoView();
        });
        button.addEventListener("click", (event) => { event.preventDefault(); start(); });
        input.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) { event.preventDefault(); start(); }
        });
        stop.addEventListener("click", async () => {
            stop.hidden = true;
            const told = await ask(urls.stop);
            if (told) { show(told); }
        });
    }

    // The provider a From address speaks of

    function offer() {
        const place = id("mc-offer"), address = form.elements.from_address, preset = form.elements.preset;
        if (!place || !address || !preset) { return; }
        let asked = "";

        async function look() {
            const now = [address.value, form.elements.host.value, preset.value].join("\n");
            if (now === asked) { return; }
            asked = now;
            const told = address.value.includes("@") ? await ask(dns.dataset.offer) : {html: ""};
            if (told && now === asked && place.innerHTML !== told.html) { place.innerHTML = told.html; }
        }

        for (const field of [address, form.elements.host, preset]) { field.addEventListener("change", look); }
        place.addEventListener("click", (event) => {
            const button = event.target.closest("[data-preset]");
            if (!button) { return; }
            place.replaceChildren();
            preset.value = button.dataset.preset;
            preset.focus();
            preset.dispatchEvent(new Event("change", {bubbles: true}));
        });
    }

    // DNS for the From domain

    function advise() {
        const button = id("mc-check-dns"), results = id("mc-dns-results");
        const word = id("mc-dns-word"); // shown while the section is closed, too
        let count = 0;

        async function check() {
            const mine = ++count;
            busy(button, true);
            tell(button.dataset.busy);
            const told = await ask(dns.dataset.advice);
            if (mine !== count) { return; }
            busy(button, false);
            if (!told) { return tell(results.textContent = dns.dataset.lost); }
            results.innerHTML = told.html;
            const title = id("mc-dns-title");
            if (told.domain) { title.textContent = dns.dataset.title.replace("%s", told.domain); }
            tell(told.word ? `${title.textContent}: ${told.word}` : results.textContent);
            word.textContent = told.word;
            word.className = `mc-badge ${told.tone}`;
            word.hidden = !told.word;
            for (const copy of results.querySelectorAll("[data-copy]")) { copy.hidden = false; }
        }

        button.addEventListener("click", (event) => { event.preventDefault(); check(); });
        document.addEventListener("mc:passed", check); // of testpanel.js: the next question is whether mail arrives
    }

    if (search) { find(); }
    if (dns) {
        offer();
        advise();
    }
})();
