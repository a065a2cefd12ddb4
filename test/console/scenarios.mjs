// SPDX-License-Identifier: Apache-2.0
// What people do in the console, in a real Chromium: node scenarios.mjs BASE NAME, or NAME "shots" with a folder.
// A scenario fails on a wrong outcome, on any error of the page, on a request to another host, and on what axe finds.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [base, wanted, folder] = process.argv.slice(2);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
const problems = [];

async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, bypassCSP: false, ...options });
  const page = await context.newPage();
  page.on("console", message => { if (message.type() === "error" && !page.expectsErrors) problems.push(`console: ${message.text()}`); });
  page.on("pageerror", error => problems.push(`page: ${error.message}`));
  page.on("request", request => { if (!request.url().startsWith(base) && !/^(data|blob):/.test(request.url())) problems.push(`asks another host: ${request.url()}`); });
  await page.goto(base + path);
  return page;
}

/** axe by evaluate, which the page's policy does not concern. */
async function accessible(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
  assert.deepEqual(violations.map(v => `${v.id}: ${v.nodes.map(n => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ""}`).slice(0, 3).join(" | ")}`), []);
}

const rows = page => page.locator(".m-space .m-row");
const status = page => page.locator(".messages > .status");

const scenarios = {
  async topics_are_listed_and_filtered() {
    const page = await open("/");
    await page.getByRole("link", { name: "events", exact: true }).waitFor();
    await page.getByRole("searchbox", { name: "Filter topics" }).fill("file");
    await page.getByRole("link", { name: "events", exact: true }).waitFor({ state: "detached" });
    await page.getByRole("link", { name: "files", exact: true }).waitFor();
  },
  async every_page_is_accessible_in_light_and_dark() {
    for (const colorScheme of ["light", "dark"])
      for (const [path, there] of [["/", "text=events"], ["/topics/events", ".m-space .m-row"], ["/topics/events/partitions", "text=Add partitions"], ["/topics/events/settings", "text=retention.ms"], ["/groups", "text=readers"], ["/groups/readers", "text=Reset offsets"], ["/broker", "text=ListOffsets"]]) {
        const page = await open(path, { colorScheme });
        await page.locator(there).first().waitFor();
        await accessible(page);
        await page.context().close();
      }
  },
  async every_state_is_accessible_in_light_and_dark() {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open("/topics", { colorScheme });
      const dialog = async button => {
        await page.getByRole("button", { name: button }).first().click();
        await page.locator("dialog").waitFor();
        await accessible(page);
        await page.keyboard.press("Escape");
        await page.locator("dialog").waitFor({ state: "detached" });
      };
      await dialog("Create topic…");
      await page.goto(`${base}/topics/trim/partitions`);
      for (const button of ["Delete records of partition 0", "Add partitions…", "Delete topic…"]) await dialog(button);
      await page.goto(`${base}/topics/trim/settings`);
      await dialog("Change retention.ms");
      await page.goto(`${base}/groups/readers`);
      for (const button of ["Reset offsets…", "Delete group…"]) await dialog(button);
      await page.goto(`${base}/topics/events?json=%24.id+%3E+5990`);
      await status(page).getByText(/ in [\d.]+ s /).waitFor();
      await page.locator("summary", { hasText: "More" }).click();
      await accessible(page);
      await dialog("Time and offset range…");
      await rows(page).nth(1).click();
      await page.locator(".tree").waitFor();
      await accessible(page);
      await page.goto(`${base}/topics/events?text=there+is+no+such+thing`);
      await page.getByText("Nothing matches.").waitFor();
      await accessible(page);
      page.expectsErrors = true; // answers that are refusals
      await page.goto(`${base}/topics/events?regex=(`);
      await page.locator(".status.wrong").waitFor();
      await accessible(page);
      await page.goto(`${base}/topics/nowhere`);
      await page.getByRole("alert").getByText("there is no topic of that name").waitFor();
      await accessible(page);
      page.expectsErrors = false;
      await page.goto(`${base}/topics/events?live=1&open=newest`);
      await page.locator(".tree").waitFor();
      await accessible(page);
      await page.context().close();
    }
  },
  async messages_come_newest_first_and_more_when_scrolled() {
    const page = await open("/topics/events?partition=0");
    await rows(page).first().waitFor();
    const first = Number(await rows(page).first().locator(".c2").textContent());
    assert.equal(first, 1999);
    for (let i = 0; i < 40; i++) {
      await page.locator(".m-list").evaluate(list => { list.scrollTop = list.scrollHeight; });
      await page.waitForTimeout(50);
    }
    await page.locator(".m-space .m-row .c2", { hasText: /^0$/ }).waitFor();
    assert.ok(await rows(page).count() < 200, "only rows in sight are in the page");
  },
  async any_of_many_messages_is_a_jump_away() {
    const page = await open("/topics/many?partition=0");
    await rows(page).first().waitFor();
    const list = page.locator(".m-list"), COUNT = 260000;
    await checkRows(page, offset => COUNT - 1 - offset);
    for (const share of [0.5, 0.123, 0.9, 1, 0]) {
      await list.evaluate((box, at) => { box.scrollTop = at * (box.scrollHeight - box.clientHeight); }, share);
      await inSight(page, Math.round(share * COUNT), 4000);
      await checkRows(page, offset => COUNT - 1 - offset);
    }
    // Row by row from the middle, up and down, past what is held: none is missing, none is twice.
    await list.evaluate(box => { box.scrollTop = box.scrollHeight / 2; });
    await inSight(page, COUNT / 2);
    const there = await middle(page);
    for (const step of [-500, 500]) {
      for (let i = 0; i < 30; i++) { await list.evaluate((box, by) => { box.scrollTop += by; }, step); await inSightFull(page); }
      await page.waitForTimeout(400); // scrolling rests: the bar goes where it belongs, the rows stay
      await checkRows(page, offset => COUNT - 1 - offset);
    }
    assert.ok(Math.abs(await middle(page) - there) < 60, "as many rows back as forth");
    await list.focus();
    await page.keyboard.press("End");
    await page.locator(".detail h2", { hasText: "offset 0" }).waitFor();
    await page.keyboard.press("Home");
    await page.locator(".detail h2", { hasText: `offset ${COUNT - 1}` }).waitFor();
  },
  async a_jump_among_all_partitions_shows_each_message_once() {
    for (const from of ["latest", "earliest"]) {
      const page = await open(`/topics/many?from=${from}`), list = page.locator(".m-list");
      await rows(page).first().waitFor();
      await list.evaluate(box => { box.scrollTop = box.scrollHeight * 0.4; });
      await inSight(page, 120000, 4000);
      const seen = new Map();
      for (let i = 0; i < 60; i++) {
        for (const [p, offset, row] of await page.evaluate(() => [...document.querySelectorAll(".m-space .m-row")].map(r => [...[".c1", ".c2"].map(c => Number(r.querySelector(c).textContent)), Number(r.getAttribute("aria-rowindex"))]))) {
          const before = seen.get(`${p}:${offset}`);
          assert.ok(before === undefined || before === row, `row ${before} has become ${row}`);
          seen.set(`${p}:${offset}`, row);
        }
        await list.evaluate((box, by) => { box.scrollTop += by; }, i < 25 ? -500 : 450);
        await inSightFull(page);
      }
      for (const p of [0, 1]) {
        assert.ok(seen.size > 400, `${seen.size} messages seen`);
        const offsets = [...seen.keys()].filter(key => key.startsWith(`${p}:`)).map(key => Number(key.slice(2))).sort((a, b) => a - b);
        assert.ok(offsets.length > 30, `${offsets.length} messages of partition ${p} seen`);
        assert.equal(offsets.at(-1) - offsets[0], offsets.length - 1, `partition ${p}: some are missing`);
      }
      assert.equal(new Set(seen.values()).size, seen.size, "a row for each");
      await page.context().close();
    }
  },
  async messages_come_from_the_start_an_offset_or_a_time() {
    const page = await open("/topics/events?partition=1");
    await rows(page).first().waitFor();
    await page.locator(".bar select").first().selectOption("earliest");
    await page.locator(".m-space .m-row:first-child .c2", { hasText: /^0$/ }).waitFor();
    await page.locator(".bar select").first().selectOption("at");
    await page.getByRole("textbox", { name: "Offset or time" }).fill("700");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.locator(".m-space .m-row:first-child .c2", { hasText: /^700$/ }).waitFor();
    assert.match(page.url(), /from=700/);
    await page.reload();
    await page.locator(".m-space .m-row:first-child .c2", { hasText: /^700$/ }).waitFor();
  },
  async a_value_is_a_tree_a_table_text_or_hex() {
    const page = await open("/topics/files?from=earliest");
    await rows(page).nth(1).click();
    await page.getByRole("tab", { name: "Table" }).waitFor();
    await page.locator(".grid .g-space", { hasText: "customer 3" }).waitFor();
    await page.getByRole("tab", { name: "JSON" }).click();
    await page.locator(".tree summary").first().waitFor();
    await page.getByRole("tab", { name: "Text" }).click();
    await page.locator(".raw.wrap").waitFor();
    await page.getByRole("tab", { name: "Hex" }).click();
    await page.locator(".raw", { hasText: "00000000  5b 7b" }).waitFor();
    await accessible(page);
  },
  async a_large_value_is_a_preview_until_it_is_loaded() {
    const page = await open("/topics/files?from=earliest");
    const asked = [];
    page.on("request", request => { if (request.url().endsWith("/value?part=value")) asked.push(request.url()); });
    await rows(page).nth(0).click();
    await page.locator(".cut", { hasText: /of 25\.\d MiB/ }).waitFor();
    await page.locator(".raw", { hasText: '{"id": 0, "customer": "customer 0"' }).waitFor();
    assert.deepEqual(asked, [], "nothing more is loaded than the preview");
    await accessible(page);
    await page.getByRole("button", { name: /^Load all 25/ }).click();
    await page.getByRole("tab", { name: "Table" }).waitFor();
    await page.locator(".grid[aria-rowcount='20001']").waitFor();
    assert.equal(asked.length, 1);
    await page.locator(".grid").evaluate(grid => { grid.scrollTop = grid.scrollHeight; });
    await page.locator(".g-n", { hasText: /^20,000$/ }).waitFor();
  },
  async gzip_and_base64_are_recognised() {
    const page = await open("/topics/files?from=earliest");
    await rows(page).nth(2).click();
    await page.locator("text=unpacked: gzip").waitFor();
    await page.locator(".tree", { hasText: "hello" }).waitFor();
    await rows(page).nth(3).click();
    await page.locator("text=unpacked: base64, gzip").waitFor();
    await page.locator(".tree", { hasText: "base64" }).waitFor();
  },
  async large_integers_are_told_as_they_were_written() {
    const page = await open("/topics/files?from=earliest");
    await rows(page).nth(4).click();
    await page.locator(".tree .j-number", { hasText: /^9007199254740993$/ }).waitFor();
  },
  async a_message_tells_its_batch_and_its_producer() {
    const page = await open("/topics/numbered?from=earliest");
    await rows(page).nth(1).click();
    const fact = name => page.locator(".facts dt", { hasText: new RegExp(`^${name}$`) }).locator("+ dd");
    assert.match(await fact("Batch").textContent(), /^3 messages from offset 0, \d+ B, gzip$/);
    assert.match(await fact("Producer").textContent(), /^id \d+, epoch 0, sequence 0$/);
    assert.match(await fact("Size").textContent(), /^key 1 B, value 100 B$/);
    assert.match(await fact("Timestamp").textContent(), /^20\d\d-.* \(create\)$/);
    assert.equal(await page.locator(".detail h2").textContent(), "Partition 0, offset 1");
  },
  async a_large_value_is_saved_whole() {
    const page = await open("/topics/files?from=earliest");
    await rows(page).nth(0).click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Save value" }).click()]);
    const whole = JSON.parse(readFileSync(await download.path(), "utf8"));
    assert.equal(whole.length, 20000);
    assert.equal(whole[19999].id, 19999);
    assert.equal(download.suggestedFilename(), "files-0-0");
  },
  async a_topic_without_messages_tells_the_next_step() {
    const page = await open("/topics/bare");
    assert.match((await page.locator(".command code").textContent()).trim(), /^echo 'hello, Ottla' \| kcat -b 127\.0\.0\.1:\d+ -t bare -P$/);
    await accessible(page);
    await page.goto(`${base}/topics`);
    await page.getByRole("searchbox", { name: "Filter topics" }).fill("no such");
    await page.getByText("No topic has that in its name.").waitFor();
  },
  async a_search_streams_its_hits_and_lives_in_the_url() {
    const page = await open("/topics/events");
    await rows(page).first().waitFor();
    const q = page.getByRole("searchbox", { name: "Search for" });
    for (const [kind, text, hits] of [["text", '"id": 4321,', 1], ["regex", '"id": 43[0-9]{2},', 100], ["json", "$.id >= 5900", 100], ["key", "customer-1", null], ["header", "source=web", 2000]]) {
      await page.getByLabel("Search by", { exact: true }).selectOption(kind);
      await q.fill(text);
      await q.press("Enter");
      await status(page).getByText(/found in .* messages/).waitFor();
      await page.waitForFunction(() => / in [\d.]+ s /.test(document.querySelector(".messages > .status").textContent));
      const told = Number((await status(page).textContent()).match(/^([\d,]+) found/)[1].replaceAll(",", ""));
      if (hits !== null) assert.equal(told, hits, kind);
    }
    assert.match(page.url(), /header=source%3Dweb/);
    await page.getByLabel("Search by", { exact: true }).selectOption("regex");
    await q.fill("(");
    page.expectsErrors = true; // the 400 that the page shows as text
    await q.press("Enter");
    await page.locator(".status.wrong", { hasText: "missing )" }).waitFor();
  },
  async several_conditions_hold_together() {
    const page = await open("/topics/events");
    await page.getByLabel("Search by", { exact: true }).selectOption("key");
    const q = page.getByRole("searchbox", { name: "Search for" });
    await q.fill("customer-39");
    await page.getByRole("button", { name: "And another condition" }).click();
    await page.getByLabel("Search by", { exact: true }).selectOption("json");
    await q.fill("$.id >= 5000");
    await q.press("Enter");
    await status(page).getByText(/^25 found in 6,000 messages/).waitFor();
    assert.match(page.url(), /key=customer-39&json=%24\.id\+%3E%3D\+5000/);
    await page.reload();
    await status(page).getByText(/^25 found/).waitFor();
    await accessible(page);
    await page.getByRole("button", { name: "Remove key customer-39" }).click();
    await status(page).getByText(/^1,000 found/).waitFor();
  },
  async hits_are_newest_first_unless_asked_otherwise() {
    const page = await open("/topics/events?json=%24.id+%3E%3D+0");
    const first = async () => (await rows(page).first().locator(".c4").textContent());
    await status(page).getByText(/^2,000 found.*newest first; stopped at the limit/).waitFor();
    assert.match(await first(), /"id": 599[789]/);
    await page.locator(".bar select").first().selectOption("earliest");
    await status(page).getByText(/^2,000 found.*oldest first; stopped at the limit/).waitFor();
    assert.match(await first(), /"id": [012],/);
  },
  async a_search_tells_how_far_it_is_and_can_be_cancelled() {
    const page = await open("/topics/events");
    await rows(page).first().waitFor();
    const network = await page.context().newCDPSession(page); // a slow line, so that there is time
    await network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: 30000, uploadThroughput: 30000 });
    await page.getByRole("searchbox", { name: "Search for" }).fill("order");
    await page.keyboard.press("Enter");
    await status(page).getByText(/^\d+ %: [\d,]+ found in [\d,]+ messages/).waitFor();
    await rows(page).first().waitFor(); // hits come while it runs
    await accessible(page);
    await page.getByRole("button", { name: "Cancel" }).click();
    await status(page).getByText(/^[\d,]+ found; cancelled$/).waitFor();
    await page.getByRole("button", { name: "Cancel" }).waitFor({ state: "detached" });
  },
  async a_search_is_narrowed_by_time_and_offset() {
    const page = await open("/topics/events?partition=0");
    await rows(page).first().waitFor();
    const narrow = async fields => {
      await page.locator("summary", { hasText: "More" }).click();
      await page.getByRole("button", { name: "Time and offset range…" }).click();
      for (const [label, text] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(text);
      await page.getByRole("button", { name: "Apply" }).click();
    };
    await narrow({ "Up to": "100" });
    await status(page).getByText("100 messages, newest first").waitFor();
    await narrow({ "Timestamp from": "2020-01-01T00:00:00Z", "Timestamp before": "2100-01-01T00:00:00Z" });
    await status(page).getByText(/^100 found in 100 messages/).waitFor();
    await narrow({ "Timestamp before": "2020-01-02T00:00:00Z" });
    await page.getByText("Nothing matches.").waitFor();
    assert.match(page.url(), /to=100&.*after=2020-01-01T00%3A00%3A00Z&before=2020-01-02/);
  },
  async live_messages_arrive_at_the_top() {
    const page = await open("/topics/live?live=1");
    await page.locator(".status", { hasText: "live" }).waitFor();
    await page.waitForTimeout(500);
    await produce(page, "live", [{ key: "now", value: "just arrived" }]);
    await rows(page).filter({ hasText: "just arrived" }).first().waitFor();
    assert.match(await rows(page).first().textContent(), /just arrived/);
  },
  async a_message_is_produced_by_hand() {
    const page = await open("/topics/hand");
    await page.getByRole("button", { name: "Produce…" }).click();
    await accessible(page);
    await page.getByLabel("Key", { exact: true }).fill("k1");
    await page.getByLabel("Value", { exact: true }).fill('{"by":"hand"}');
    await page.getByLabel("Headers", { exact: true }).fill("origin=console");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".note", { hasText: "Stored in partition" }).waitFor();
    await rows(page).filter({ hasText: '{"by":"hand"}' }).first().click();
    await page.locator(".facts", { hasText: "origin" }).waitFor();
  },
  async a_tombstone_is_produced_by_hand() {
    const page = await open("/topics/hand");
    await page.getByRole("button", { name: "Produce…" }).click();
    await page.getByLabel("Key", { exact: true }).fill("gone");
    await page.getByLabel(/^null: a tombstone/).check();
    await page.getByRole("button", { name: "Send" }).click();
    await rows(page).filter({ hasText: "null (tombstone)" }).first().click();
    await page.locator(".d-body", { hasText: "a tombstone" }).waitFor();
  },
  async rows_of_a_file_are_sent_as_they_are_written() {
    const page = await open("/topics/hand");
    const written = ['{"id": 9007199254740993, "t": "a]},[\\"{"}', "[1.0, [2]]", "5e3"];
    await page.getByRole("button", { name: "Produce…" }).click();
    await page.getByLabel("File", { exact: true }).setInputFiles({ name: "exact.json", mimeType: "application/json", buffer: Buffer.from(`[\n${written.join(",\n")}\n]`) });
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator("dialog").waitFor({ state: "detached" });
    const { messages } = await page.evaluate(async () => (await fetch("/api/v1/topics/hand/messages?limit=3")).json());
    assert.deepEqual(messages.map(m => m.value.text).reverse(), written);
  },
  async sending_a_file_can_be_cancelled() {
    const page = await open("/topics/bare");
    const sent = [];
    page.on("request", request => { if (request.method() === "POST") sent.push(request.url()); });
    let release;
    await page.route("**/topics/bare/messages", async route => { await new Promise(go => { release = go; }); await route.abort(); });
    await page.getByRole("button", { name: "Produce…" }).click();
    await page.getByLabel("File", { exact: true }).setInputFiles({ name: "rows.txt", mimeType: "text/plain", buffer: Buffer.from("row\n".repeat(20000)) });
    page.expectsErrors = true; // the request that is cut off here
    await Promise.all([page.waitForRequest(request => request.method() === "POST"), page.getByRole("button", { name: "Send" }).click()]);
    await page.getByRole("button", { name: "Cancel" }).click();
    release();
    await page.waitForTimeout(500);
    assert.equal(sent.length, 1, "nothing more is sent");
  },
  async a_file_is_split_into_rows_or_chunks() {
    const page = await open("/topics/split");
    const file = { name: "rows.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(Array.from({ length: 30000 }, (_, i) => ({ id: i, text: "x".repeat(60) })))) };
    for (const [how, count] of [["chunks", 3], ["rows", 30003], ["bytes", 30006]]) {
      await page.getByRole("button", { name: "Produce…" }).click();
      await page.getByLabel("File", { exact: true }).setInputFiles(file);
      await page.getByLabel("Split", { exact: true }).selectOption(how);
      await page.getByRole("button", { name: "Send" }).click();
      await page.locator("dialog").waitFor({ state: "detached", timeout: 60000 });
      const topic = await page.evaluate(async () => (await fetch("/api/v1/topics/split")).json());
      assert.equal(topic.messages, count, how);
    }
    const page2 = await page.evaluate(async () => (await fetch("/api/v1/topics/split/messages?from=earliest&limit=3&preview=10")).json());
    for (const message of page2.messages) assert.ok(message.value.size <= 1 << 20, `a chunk of ${message.value.size}`);
  },
  async what_is_seen_can_be_downloaded() {
    const page = await open("/topics/events?text=%22id%22%3A+432");
    await status(page).getByText(/found/).waitFor();
    for (const [name, check] of [["NDJSON", text => assert.equal(text.trim().split("\n").map(JSON.parse).length, 11)], ["CSV", text => assert.equal(text.trim().split("\r\n").length, 12)]]) {
      await page.locator("summary", { hasText: "More" }).click();
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: `Download as ${name}` }).click()]);
      check(readFileSync(await download.path(), "utf8"));
    }
  },
  async a_topic_is_made_changed_widened_and_deleted() {
    const page = await open("/topics");
    await page.getByRole("button", { name: "Create topic…" }).click();
    await page.getByLabel("Name", { exact: true }).fill("born");
    await page.getByLabel("Partitions", { exact: true }).fill("2");
    await page.getByLabel("Settings", { exact: true }).fill("retention.ms=3600000");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("link", { name: "born" }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("row", { name: /^retention.ms/ }).getByText("3600000").waitFor();
    await page.getByRole("button", { name: "Change retention.ms" }).click();
    await page.getByLabel("Value (long)").fill("7200000");
    await page.getByRole("button", { name: "Change", exact: true }).last().click();
    await page.getByRole("row", { name: /^retention.ms/ }).getByText("7200000").waitFor();
    await page.getByRole("link", { name: "Partitions" }).click();
    await page.getByRole("button", { name: "Add partitions…" }).click();
    await page.getByLabel("Partitions in all", { exact: true }).fill("5");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("row", { name: /^4 / }).waitFor();
    await page.locator(".tile", { hasText: "Kept for" }).getByText("2 h").waitFor();
    await page.locator(".tile", { hasText: "Retention left" }).getByText("–").waitFor();
    await produce(page, "born", [{ value: "first" }]);
    await page.reload();
    await page.locator(".tile", { hasText: "Retention left" }).getByText(/^(2 h|120 min)$/).waitFor();
    await page.locator(".tile", { hasText: "Oldest message" }).getByText(/ (ms|s) old$/).waitFor();
    await page.getByRole("button", { name: "Delete topic…" }).click();
    await page.getByLabel("Type born to go on").fill("bor");
    await page.getByRole("button", { name: "Delete topic", exact: true }).click();
    await page.getByRole("alert").getByText("another name").waitFor();
    await page.getByLabel("Type born to go on").fill("born");
    await page.getByRole("button", { name: "Delete topic", exact: true }).click();
    await page.getByRole("heading", { name: "Topics" }).waitFor();
    await page.getByRole("link", { name: "born" }).waitFor({ state: "detached" });
  },
  async records_are_deleted_up_to_an_offset() {
    const page = await open("/topics/trim/partitions");
    await page.getByRole("button", { name: "Delete records of partition 0" }).click();
    await page.getByLabel("Everything before offset", { exact: true }).fill("4");
    await page.getByLabel("Type trim to go on").fill("trim");
    await page.getByRole("button", { name: "Delete records", exact: true }).click();
    await page.locator("tbody tr td:nth-child(4)", { hasText: /^4$/ }).waitFor();
  },
  async a_group_shows_its_lag_and_is_reset_after_a_preview() {
    const page = await open("/groups");
    await page.getByRole("link", { name: "readers" }).click();
    await page.locator(".tile", { hasText: "Lag" }).getByText("5,970").waitFor();
    await page.locator(".chart canvas").waitFor();
    await page.getByRole("button", { name: "Reset offsets…" }).click();
    await page.getByLabel("To", { exact: true }).fill("100");
    await page.getByRole("button", { name: "Preview, then reset" }).click();
    await page.getByRole("cell", { name: "100" }).first().waitFor();
    await page.getByRole("button", { name: "Reset", exact: true }).click();
    await page.locator(".tile", { hasText: "Lag" }).getByText("5,700").waitFor();
  },
  async the_broker_page_tells_what_it_does() {
    const page = await open("/broker");
    for (const text of ["Throughput", "apache-kafka-js-test", "Latency by API", "fsync", "Disks", "ListOffsets", "metadata.version"]) await page.getByText(text).first().waitFor();
    assert.match(await page.getByRole("row", { name: /^kraft.version/ }).textContent(), /^kraft\.version(none|\d+)0 to 1$/);
    assert.match(await page.getByRole("row", { name: /^metadata.version/ }).textContent(), /^metadata\.version[1-9]\d*\d+ to \d+$/);
    await page.locator(".log", { hasText: "is ready" }).waitFor();
    assert.ok(await page.locator(".log").evaluate(log => log.clientHeight) > 30, "a line of it can be read");
    await page.getByRole("searchbox", { name: "Filter settings" }).fill("log.dirs");
    await page.getByRole("row", { name: /^log.dirs/ }).waitFor();
    assert.equal(await page.locator(".chart canvas").count(), 5);
    await page.locator(".tile", { hasText: "Durability" }).getByText("fsync").waitFor();
    assert.match(await page.getByRole("row", { name: /^Produce/ }).textContent(), /^Produce[\d,]+[\d.]+ ms[\d.]+ ms$/);
    assert.match(await page.getByRole("row", { name: /^apache-kafka-js-test/ }).textContent(), /1\.2\.3/);
  },
  async the_keyboard_is_enough() {
    const page = await open("/topics/events");
    await rows(page).first().waitFor();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "q");
    for (let i = 0; i < 12 && !(await page.evaluate(() => document.activeElement.classList.contains("m-list"))); i++) await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.locator(".m-row[aria-selected=true] ").waitFor();
    assert.equal(await page.locator(".m-row[aria-selected=true]").getAttribute("aria-rowindex"), "3");
    await page.locator(".detail h2").waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".detail").waitFor({ state: "hidden" });
  },
  async what_is_drawn_anew_keeps_the_focus() {
    const page = await open("/topics");
    for (const [path, link] of [["/topics", "files"], ["/groups", "readers"]]) {
      await page.goto(base + path);
      const focused = page.getByRole("link", { name: link, exact: true });
      await focused.focus();
      const drawn = await focused.elementHandle();
      await page.waitForFunction(element => !element.isConnected, drawn); // another has taken its place
      await page.waitForFunction(text => document.activeElement.textContent === text, link);
    }
  },
  async light_and_dark_are_chosen_and_kept() {
    const page = await open("/topics", { colorScheme: "light" });
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), "light");
    await page.getByRole("button", { name: "Light or dark" }).click();
    assert.equal(await theme(), "dark");
    await page.reload();
    assert.equal(await theme(), "dark");
  },
  async favourites_and_views_are_kept() {
    const page = await open("/topics/events?text=refund");
    await page.getByRole("button", { name: "Favourite" }).click();
    await page.locator(".saved", { hasText: "events" }).waitFor();
    page.on("dialog", dialog => dialog.accept("all refunds"));
    await page.locator("summary", { hasText: "More" }).click();
    await page.getByRole("button", { name: "Save this view…" }).click();
    await page.goto(`${base}/topics`);
    await page.setViewportSize({ width: 390, height: 844 }); // on a phone they are there too
    await page.getByRole("link", { name: "all refunds" }).click();
    await page.waitForURL(/text=refund/);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await accessible(page);
  },
  async it_fits_a_phone_and_a_wide_screen() {
    for (const [width, height] of [[390, 844], [3440, 1440]]) for (const path of ["/topics", "/topics/events", "/topics/events/partitions", "/topics/events/settings", "/groups/readers", "/broker"]) {
      const page = await open(path, { viewport: { width, height } });
      await page.locator("main h1").waitFor();
      await page.waitForTimeout(300);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.querySelector("main").scrollWidth <= innerWidth), `${path} is wider than ${width} px`);
      await accessible(page);
      await page.context().close();
    }
  },
  async another_site_can_neither_read_nor_change() {
    const page = await open("/topics");
    const token = await page.evaluate(async () => (await (await fetch("/api/v1/session")).json()).token);
    // The same broker by another name of this machine is another site to the browser.
    const other = base.replace("127.0.0.1", "localhost");
    page.expectsErrors = true;
    const read = await page.evaluate(url => fetch(url).then(() => "read", () => "refused"), `${other}/api/v1/session`);
    assert.equal(read, "refused");
    const changed = await page.evaluate(([url, secret]) => fetch(url, { method: "POST", headers: { "Content-Type": "application/json", "X-Ottla-Token": secret }, body: '{"name":"stolen"}' }).then(() => "sent", () => "refused"), [`${other}/api/v1/topics`, token]);
    assert.equal(changed, "refused");
    const names = await page.evaluate(async () => (await (await fetch("/api/v1/topics")).json()).topics.map(t => t.name));
    assert.ok(!names.includes("stolen"));
    problems.length = 0; // the policy's refusals are what was asked for
  },
};

const middle = page => page.evaluate(() => { const all = document.querySelectorAll(".m-space .m-row"); return Number(all[all.length >> 1].getAttribute("aria-rowindex")) - 2; });
const inSight = (page, row, more = 80) => page.waitForFunction(([wanted, off]) => {
  const list = document.querySelector(".m-list").getBoundingClientRect();
  return [...document.querySelectorAll(".m-space .m-row")].some(r => { const at = r.getBoundingClientRect(); return at.bottom > list.top && at.top < list.bottom && Math.abs(Number(r.getAttribute("aria-rowindex")) - 2 - wanted) < off; });
}, [row, more]);

const inSightFull = page => page.waitForFunction(() => {
  const list = document.querySelector(".m-list").getBoundingClientRect();
  return [...document.querySelectorAll(".m-space .m-row")].filter(r => { const at = r.getBoundingClientRect(); return at.bottom > list.top + 34 && at.top < list.bottom; }).length >= Math.floor(list.height / 34) - 2;
});

/** What is in sight is full of rows, and each is the message that its number says. */
async function checkRows(page, rowOf) {
  const [shown, height] = await page.evaluate(() => {
    const list = document.querySelector(".m-list").getBoundingClientRect();
    const all = [...document.querySelectorAll(".m-space .m-row")].filter(r => { const at = r.getBoundingClientRect(); return at.bottom > list.top + 34 && at.top < list.bottom; });
    return [all.map(r => [Number(r.querySelector(".c2").textContent), Number(r.getAttribute("aria-rowindex")) - 2]), list.height];
  });
  assert.ok(shown.length >= Math.floor(height / 34) - 2, `${shown.length} rows in ${height} px`);
  for (const [offset, row] of shown) assert.equal(row, rowOf(offset));
}

async function produce(page, topic, messages) {
  await page.evaluate(async ([name, list]) => {
    const { token } = await (await fetch("/api/v1/session")).json();
    await fetch(`/api/v1/topics/${name}/messages`, { method: "POST", headers: { "Content-Type": "application/json", "X-Ottla-Token": token }, body: JSON.stringify({ messages: list }) });
  }, [topic, messages]);
}

const SHOTS = [["topics", "/topics"], ["messages", "/topics/events", ".m-space .m-row"], ["table", "/topics/files?from=earliest", ".m-space .m-row:nth-child(2)"], ["search", "/topics/events?json=%24.total+%3E+890"], ["partitions", "/topics/events/partitions"], ["settings", "/topics/events/settings"], ["groups", "/groups"], ["group", "/groups/readers"], ["broker", "/broker"]];

async function shots() {
  for (const [name, path, click] of SHOTS) {
    const page = await open(path, { viewport: { width: 1280, height: 760 }, colorScheme: name === "broker" ? "dark" : "light" });
    await page.waitForTimeout(1500);
    if (click) await page.locator(click).first().click();
    await page.waitForTimeout(600);
    await page.screenshot({ path: `${folder}/${name}.png` });
    await page.context().close();
  }
}

/* Figures for bench/console.py: pairs of name and text. */
async function speed() {
  const page = await open("/topics");
  const starts = [];
  for (let i = 0; i < 8; i++) {
    await page.goto(`${base}/topics/many?from=${i % 2 ? "latest" : "earliest"}`, { waitUntil: "commit" });
    starts.push(await page.evaluate(() => new Promise(done => {
      const look = () => document.querySelector(".m-space .m-row") ? done(performance.now()) : requestAnimationFrame(look);
      look();
    })));
  }
  const frames = await page.evaluate(() => new Promise(done => {
    const list = document.querySelector(".m-list"), times = [];
    let last = performance.now(), left = 300;
    const next = now => {
      times.push(now - last);
      last = now;
      list.scrollTop += 400;
      if (--left) requestAnimationFrame(next); else done(times.sort((a, b) => a - b));
    };
    requestAnimationFrame(next);
  }));
  const jumps = [];
  for (let i = 0; i < 40; i++) {
    jumps.push(await page.evaluate(share => new Promise(done => {
      const list = document.querySelector(".m-list"), before = document.querySelector(".m-space .m-row").id, began = performance.now();
      list.scrollTop = share * (list.scrollHeight - list.clientHeight);
      const look = () => {
        const at = list.getBoundingClientRect(), seen = [...document.querySelectorAll(".m-space .m-row")].filter(r => { const b = r.getBoundingClientRect(); return b.bottom > at.top + 34 && b.top < at.bottom; });
        if (seen.length >= Math.floor(at.height / 34) - 2 && seen[0].id !== before) done(performance.now() - began); else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }), (i * 0.381966) % 1));
    await page.waitForTimeout(200);
  }
  jumps.sort((a, b) => a - b);
  starts.sort((a, b) => a - b);
  console.log(JSON.stringify([["page opened until rows stand, Chromium", `${starts[4].toFixed(0)} ms`], ["scrolling, time of a frame", `median ${frames[150].toFixed(1)} ms, 99th percentile ${frames[297].toFixed(1)} ms`], ["jump by the bar to any place until rows stand", `median ${jumps[20].toFixed(0)} ms, slowest of 40 ${jumps[39].toFixed(0)} ms`]]));
}

/* What make demo shows: `folder` is the path that it tells. */
async function demo() {
  const page = await open(folder);
  page.expectsErrors = true; // the broker is killed half way
  const first = await page.locator(".detail h2").textContent(); // at once: the events may be over soon
  await rows(page).first().waitFor();
  await page.getByRole("tab", { name: "Table", selected: true }).waitFor();
  await page.locator(".grid .g-space .g-row").first().waitFor();
  await page.waitForFunction(text => document.querySelector(".detail h2")?.textContent !== text, first);
  for (const group of ["events", "archive"]) await page.locator(".readers", { hasText: new RegExp(`\\b${group} ([\\d,]+ behind|up to date)`) }).waitFor();
  await accessible(page);
}

/* The group "reading" with one member, which has events to itself. */
async function members() {
  const page = await open("/groups/reading");
  await page.locator(".tile", { hasText: "Stable" }).waitFor();
  await page.getByRole("row", { name: /reader-1.*events: 0, 1, 2$/ }).waitFor();
  await page.getByRole("row", { name: /^events 1 1,500 2,000 500 reader-1$/ }).waitFor();
  await page.locator(".tile", { hasText: "Assignor" }).getByText("range").waitFor();
  await accessible(page);
}

/* What cannot be done is not offered. */
async function readOnly() {
  for (const [path, there] of [["/topics", "text=seen"], ["/topics/seen", ".m-space .m-row"], ["/topics/seen/partitions", "text=online"], ["/topics/seen/settings", "text=retention.ms"], ["/groups", "h1"], ["/broker", "text=Latency by API"]]) {
    const page = await open(path);
    await page.locator(there).first().waitFor();
    assert.equal(await page.getByRole("button", { name: /Create|Produce|Change|Delete|Add partitions|Reset/ }).count(), 0, path);
    await page.getByText("read-only", { exact: true }).waitFor();
    await page.context().close();
  }
}

/* A broker with nothing in it: each page tells the next step. */
async function empty() {
  for (const [path, command] of [["/topics", /^echo 'hello, Ottla' \| kcat -b 127\.0\.0\.1:\d+ -t greetings -P$/], ["/groups", /^kcat -b 127\.0\.0\.1:\d+ -G readers greetings$/]])
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(path, { colorScheme, permissions: ["clipboard-read", "clipboard-write"] });
      const told = (await page.locator(".command code").textContent()).trim();
      assert.match(told, command);
      await page.getByRole("button", { name: "Copy" }).click();
      await page.getByRole("button", { name: "Copied" }).waitFor();
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), told);
      await accessible(page);
      await page.context().close();
    }
}

try {
  if (wanted === "names") console.log(Object.keys(scenarios).join("\n"));
  else if (wanted === "shots") await shots();
  else if (wanted === "speed") await speed();
  else if (wanted === "demo") await demo();
  else if (wanted === "empty") await empty();
  else if (wanted === "members") await members();
  else if (wanted === "read_only") await readOnly();
  else await scenarios[wanted]();
  assert.deepEqual(problems, []);
} catch (error) {
  console.error(error.message ?? error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
