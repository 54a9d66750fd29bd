/* Follows what goes on elsewhere: a batch of test emails, a job. Without it the page reloads itself. */
(() => {
    "use strict";

    const box = document.getElementById("mc-follow"), status = document.getElementById("mc-follow-status");
    let seq = box.dataset.seq, failures = 0;

    async function poll() {
        let wait = 1000;
        try {
            const response = await fetch(`${box.dataset.poll}?seq=${seq}`);
            if (response.redirected) { location.reload(); return; }
            if (!response.ok) { throw new Error(String(response.status)); }
            const state = await response.json();
            failures = 0;
            if (state.html) {
                box.innerHTML = state.html;
                seq = state.seq;
                status.textContent = state.announce;
            }
            if (state.done) {
                document.getElementById("mc-follow-stop")?.remove();
                return;
            }
        } catch {
            failures += 1;
            wait = Math.min(1000 * 2 ** failures, 8000);
        }
        setTimeout(poll, wait);
    }

    if (box?.dataset.poll) { setTimeout(poll, 500); }
})();
