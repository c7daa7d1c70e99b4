// What the clients in JavaScript share: the report of harness.py (a line per check group; a comparison of ours that fails
// says "differs"), and tokens signed as the server signs them.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

const show = (value) => (Buffer.isBuffer(value) ? `${value.length} bytes` : JSON.stringify(value))?.slice(0, 160);

/** Throws unless both are the same, bytes by bytes and other values deeply. */
export function same(got, wanted, what) {
  const equal = Buffer.isBuffer(got) ? got.equals(Buffer.from(wanted)) : (() => {
    try { assert.deepEqual(got, wanted); return true; } catch { return false; }
  })();
  if (!equal) throw new Error(`${what} differs: ${show(got)}, wanted ${show(wanted)}`);
}

/** The check groups of one client; `end` leaves with the number that failed. */
export function report(client) {
  let failed = 0;
  return {
    async group(what, check) {
      try {
        await check();
        console.log(`PASS ${client}: ${what}`);
      } catch (error) {
        failed += 1;
        console.log(`FAIL ${client}: ${what}: ${String(error?.message ?? error).replace(/\s+/g, " ").slice(0, 400)}`);
      }
    },
    end: () => process.exit(Math.min(failed, 70)),
  };
}

/** Ends the script as skipped, with the reason. */
export function skip(client, why) {
  console.log(`SKIP ${client}: ${why}`);
  process.exit(77);
}

/** A token with these claims, which counts for an hour unless they say otherwise. */
export function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp: Math.floor(Date.now() / 1000) + 3600, ...claims })}`;
  return `${text}.${createHmac("sha256", process.env.LONGSHORE_JWT_SECRET).update(text).digest("base64url")}`;
}
