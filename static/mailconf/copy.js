/* Buttons with `data-copy="#id"` put the text of that element on the clipboard. They are hidden without scripts. */
(() => {
    "use strict";
    const uncover = () => { for (const button of document.querySelectorAll("[data-copy]")) { button.hidden = false; } };
    uncover();
    document.addEventListener("toggle", uncover, true); // those that came later are in a closed part

    document.addEventListener("click", async (event) => {
        const button = event.target.closest("[data-copy]");
        const source = button && document.querySelector(button.dataset.copy);
        if (!source) { return; }
        event.preventDefault();
        const text = source.value ?? source.textContent;
        try {
            await navigator.clipboard.writeText(text);
        } catch { // plain http has no clipboard: then by selection
            const area = Object.assign(document.createElement("textarea"), {value: text, className: "mc-unseen"});
            button.after(area);
            area.select();
            document.execCommand("copy");
            area.remove();
            button.focus();
        }
        const before = button.textContent;
        button.textContent = button.dataset.copied;
        setTimeout(() => { button.textContent = before; }, 2000);
    });
})();
