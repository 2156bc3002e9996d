// Calls Daybook as a web page would: a page from another origin, in Chromium, over gRPC-Web with
// @connectrpc/connect-web and messages made by protoc-gen-es.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";

import { build } from "esbuild";
import { chromium } from "playwright-core";

import { BOUND, PASSWORD, ROOT, dayAhead, folder, run, startServer } from "./server.mjs";

const here = join(ROOT, "tests/clients/node");
const modules = join(here, "node_modules");
const browserPath = process.env.TEST_CHROMIUM ?? "/usr/bin/chromium";
assert.ok(existsSync(browserPath), `there is no ${browserPath}: tests/run installs it`);

/** The page's script: messages generated from proto/, then all in one file. */
async function bundle(into) {
  const generated = join(into, "es");
  const plugin = { local: join(modules, ".bin/protoc-gen-es"), out: generated, opt: "target=js" };
  const template = JSON.stringify({ version: "v2", plugins: [plugin] });
  execFileSync(join(modules, ".bin/buf"), ["generate", "--template", template], { cwd: ROOT });
  const { outputFiles } = await build({
    entryPoints: [join(here, "page.mjs")],
    bundle: true,
    format: "iife",
    target: "es2022",
    nodePaths: [modules, generated],
    write: false,
  });
  return outputFiles[0].text;
}

/** A web server with that one page; its port makes it an origin. */
async function site(script) {
  const html = `<!doctype html><meta charset="utf-8"><title>Daybook</title><script src="/page.js"></script>`;
  const web = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    const kind = isScript ? "text/javascript" : "text/html";
    response.writeHead(200, { "content-type": `${kind}; charset=utf-8` });
    response.end(isScript ? script : html);
  });
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  const close = () => {
    web.closeAllConnections();
    web.close();
  };
  return { origin: `http://127.0.0.1:${web.address().port}`, close };
}

const { path, remove } = await folder();
const script = await bundle(path);
const listed = await site(script);
const unlisted = await site(script);
const origins = JSON.stringify([listed.origin, "https://app.example.com"]);
const server = await startServer(path, ["--set", `server.cors_origins=${origins}`]);
const browser = await chromium.launchPersistentContext(join(path, "profile"), {
  executablePath: browserPath,
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
  timeout: BOUND,
});

async function open(origin) {
  const page = await browser.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  await page.goto(origin, { timeout: BOUND });
  const call = (method, ...values) =>
    page.evaluate(
      ([url, method, values]) => window.daybook(url)[method](...values),
      [`http://${server.address}`, method, values],
    );
  return { call, said };
}

let ours, provider, customer, slots, booked;

const cases = {
  async a_page_signs_up_and_logs_in() {
    ours = await open(listed.origin);
    provider = await ours.call("join", "Ada", PASSWORD, true);
    customer = await ours.call("join", "Cleo", PASSWORD, false);
    assert.equal(customer.me, customer.name);
    assert.equal(provider.provider, provider.name.replace("users/", "providers/"));
  },

  async a_page_books_a_slot() {
    const free = () =>
      ours.call("slots", customer.token, provider.provider, dayAhead(2), dayAhead(9));
    slots = await free();
    assert.ok(slots.length > 10, `${slots.length} slots`);
    booked = await ours.call("book", customer.token, provider.provider, slots[0]);
    assert.equal(booked.state, "BOOKED");
    assert.deepEqual(await free(), slots.slice(1));
  },

  async a_taken_slot_is_refused_with_typed_details() {
    const other = await ours.call("join", "Otto", PASSWORD, false);
    const told = await ours.call("bookTaken", other.token, provider.provider, slots[0]);
    assert.deepEqual(
      [told.code, told.domain, told.reason],
      ["Aborted", "daybook", "SLOT_TAKEN"],
    );
    assert.ok(told.text);
  },

  async bad_fields_are_all_named() {
    const told = await ours.call("signUpBadly");
    assert.deepEqual([told.code, told.reason], ["InvalidArgument", "INVALID_FIELDS"]);
    assert.deepEqual(told.fields, ["display_name", "email", "password", "role", "time_zone"]);
  },

  async without_a_token_a_call_is_refused() {
    const told = await ours.call("withoutToken");
    assert.deepEqual([told.code, told.reason], ["Unauthenticated", "NOT_AUTHENTICATED"]);
  },

  async a_deadline_is_kept() {
    const told = await ours.call("tooLate", "cleo@example.org", PASSWORD);
    assert.equal(told.code, "DeadlineExceeded");
  },

  async a_page_sees_the_id_of_its_call() {
    assert.match(await ours.call("requestId", customer.token), /^[\w-]{8,64}$/);
  },

  async a_cancelled_slot_is_back() {
    assert.equal(await ours.call("cancel", customer.token, booked.name), "CANCELLED");
    const request = [customer.token, provider.provider, dayAhead(2), dayAhead(9)];
    assert.deepEqual(await ours.call("slots", ...request), slots);
  },

  async a_page_that_is_not_listed_is_refused_by_cors() {
    const theirs = await open(unlisted.origin);
    const told = await theirs.call("signUpBadly");
    assert.equal(told.reason, undefined, "the page read an answer");
    assert.equal(told.code, "Unknown");
    assert.ok(theirs.said.some((text) => /CORS policy/.test(text)), theirs.said.join("\n"));
    const joining = theirs.call("join", "Mallory", PASSWORD, false);
    await assert.rejects(joining);
    // And the call did not happen behind the page's back.
    await ours.call("join", "Mallory", PASSWORD, false);
  },
};

try {
  await run(cases, join(path, "log"));
} finally {
  await browser.close();
  await server.stop();
  listed.close();
  unlisted.close();
  await remove();
}
