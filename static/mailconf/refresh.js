/* Renews the dashboard every 15 s: what has changed is exchanged; what is open, selected or focused stays so. */
(() => {
    "use strict";

    const EVERY = 15000, FOCUSABLE = "a, summary", PAUSED = "mc-paused";
    const foot = document.getElementById("mc-foot"), button = document.getElementById("mc-pause");
    let live = document.getElementById("mc-live"), failures = 0, timer = 0, renewedAt = Date.now();

    const isPaused = () => sessionStorage.getItem(PAUSED) !== null;
    const isSelecting = () => !getSelection().isCollapsed && getSelection().containsNode(live, true);

    // Not by its place: what comes in above would move it.
    const nameOf = (one) => one.getAttribute("href") ?? one.parentElement.id;

    function show() {
        button.setAttribute("aria-pressed", String(isPaused()));
        foot.className = `mc-foot is-${isPaused() ? "paused" : failures ? "silent" : "live"}`;
    }

    function exchange(old, fresh) {
        for (const one of old.querySelectorAll("details[id][open]")) {
            fresh.querySelector(`#${one.id}`)?.setAttribute("open", "");
        }
        if (old.isEqualNode(fresh)) { return old; }
        const focused = old.contains(document.activeElement) && nameOf(document.activeElement);
        old.replaceWith(fresh);
        if (focused) {
            [...fresh.querySelectorAll(FOCUSABLE)].find((one) => nameOf(one) === focused)?.focus({preventScroll: true});
        }
        return fresh;
    }

    function renew(page) {
        const fresh = page.getElementById("mc-live"), before = [...live.children];
        if (fresh.children.length === before.length) {
            [...fresh.children].forEach((one, place) => exchange(before[place], one));
        } else {
            live = exchange(live, fresh);
        }
        const ways = page.querySelectorAll(".mc-nav a");
        document.querySelectorAll(".mc-nav a").forEach((way, place) => {
            if (ways[place]?.href === way.href) { way.replaceChildren(...ways[place].childNodes); }
        });
        document.getElementById("mc-updated").replaceWith(page.getElementById("mc-updated"));
        renewedAt = Date.now();
    }

    async function refresh() {
        if (!isPaused() && !document.hidden && !isSelecting()) {
            try {
                const response = await fetch(location.href, {signal: AbortSignal.timeout(EVERY)});
                if (response.redirected) { location.reload(); return; }
                if (!response.ok) { throw new Error(String(response.status)); }
                const page = new DOMParser().parseFromString(await response.text(), "text/html");
                if (!isPaused() && !isSelecting()) { renew(page); }
                failures = 0;
            } catch {
                failures += 1;
            }
            show();
        }
        clearTimeout(timer);
        timer = setTimeout(refresh, EVERY * Math.min(2 ** failures, 4));
    }

    button.addEventListener("click", () => {
        if (isPaused()) {
            sessionStorage.removeItem(PAUSED);
            refresh();
        } else {
            sessionStorage.setItem(PAUSED, "");
        }
        show();
    });
    document.addEventListener("visibilitychange", () => {
        if (!document.hidden && Date.now() - renewedAt > EVERY) { refresh(); }
    });
    button.hidden = false;
    show();
    timer = setTimeout(refresh, EVERY);
})();
