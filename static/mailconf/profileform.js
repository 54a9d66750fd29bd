/* The profile form works without this: it only saves some typing. */
(() => {
    "use strict";
    const form = document.getElementById("smtpprofile_form");
    if (!form) { return; }

    // The port follows the security while it holds a port people know; a port of one's own stays.
    const known = new Set(["", "25", "465", "587", "2465", "2525", "2587"]);
    const usual = {starttls: "587", tls: "465", none: "25"};
    const port = form.elements.port;
    for (const choice of form.querySelectorAll("input[name=security]")) {
        choice.addEventListener("change", () => {
            if (port && known.has(port.value)) { port.value = usual[choice.value]; }
        });
    }

    // Ctrl+Enter sends a test; Enter alone is a save (the form's first button).
    const tests = form.querySelectorAll("button[name=_send_test]");
    form.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && tests.length) {
            event.preventDefault();
            form.requestSubmit(tests[0]);
        }
    });

    // A test takes up to 45 seconds: say so, and take no second one meanwhile.
    let sent = false;
    form.addEventListener("submit", (event) => {
        if (sent) { event.preventDefault(); return; }
        sent = true;
        form.setAttribute("aria-busy", "true");
        if (event.submitter && event.submitter.name === "_send_test") {
            event.submitter.classList.add("is-busy");
            event.submitter.textContent = event.submitter.dataset.busy;
        }
    });
    window.addEventListener("pageshow", () => { sent = false; form.removeAttribute("aria-busy"); });

    const result = document.getElementById("mc-test-result") || document.getElementById("mc-problems");
    if (result) { result.scrollIntoView({block: "center"}); }
})();
