// What the Node clients share: the binary running in a folder of its own, dates some days ahead, and
// the counting of cases.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(fileURLToPath(import.meta.url), "../../../..");
export const PASSWORD = "correct horse battery";
/** Milliseconds that anything may take. */
export const BOUND = 30_000;

/** Makes an empty folder, and the function that removes it. */
export async function folder() {
  const path = await mkdtemp(join(tmpdir(), "daybook-node-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Starts the binary on a free port and waits until it serves. */
export async function startServer(path, settings = []) {
  const binary = process.env.TEST_DAYBOOK ?? join(ROOT, "target/debug/daybook");
  // Nothing of the developer's own settings.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("DAYBOOK_")),
  );
  const log = openSync(join(path, "log"), "a");
  const options = { cwd: path, env, stdio: ["ignore", "pipe", log] };
  const listen = ["--listen", "127.0.0.1:0", "--log-format", "text"];
  const process_ = spawn(binary, [...listen, ...settings], options);
  closeSync(log);
  const ended = once(process_, "exit");
  const stop = async () => {
    process_.kill("SIGKILL");
    await ended;
  };
  try {
    const lines = createInterface(process_.stdout);
    const first = await bounded(Promise.race([once(lines, "line"), ended]), "the first line");
    const address = /^Daybook listens on ([^,]+),/.exec(String(first[0]))?.[1];
    if (!address) throw new Error(`the server did not start: ${await readFile(join(path, "log"))}`);
    await serving(binary, address, env);
    return { address, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function serving(binary, address, env) {
  const until = Date.now() + BOUND;
  while (Date.now() < until) {
    const check = ["healthcheck", "--address", `http://${address}`];
    const [code] = await once(spawn(binary, check, { env, stdio: "ignore" }), "exit");
    if (code === 0) return;
  }
  throw new Error("the server is not serving");
}

/** Fails when the promise takes too long. */
export async function bounded(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${BOUND} ms`)), BOUND);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A date some days ahead, as google.type.Date. */
export function dayAhead(days) {
  const day = new Date(Date.now() + days * 24 * 3600 * 1000);
  return { year: day.getUTCFullYear(), month: day.getUTCMonth() + 1, day: day.getUTCDate() };
}

/** Runs the cases in order, prints a line for each, and ends the process with their outcome. */
export async function run(cases, log) {
  let passed = 0;
  let failed = 0;
  for (const [name, test] of Object.entries(cases)) {
    try {
      await bounded(test(), name);
      passed += 1;
      console.log(`PASS ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}`);
      console.log(error);
    }
  }
  if (failed > 0) console.log((await readFile(log, "utf8")).slice(-4000));
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
