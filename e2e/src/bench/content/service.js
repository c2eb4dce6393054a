// Serves WebSockets at the address it is given, and sends every text message back: as it comes (`ws`), once it is
// parsed (`ws+parse`), or once it is parsed and ajv has found that the schema allows it (`ws+ajv`); else it ends the
// connection with 1008. Prints its port and the versions of what it is made of, and ends with its standard input.
"use strict";

const { WebSocketServer } = require("ws");

const [host, kind, schema] = process.argv.slice(1);

/** Returns the ajv of JSON Schema 2020-12 where there is one, or that of draft 7. */
function ajv() {
  try {
    return require("ajv/dist/2020").default;
  } catch {
    return require("ajv");
  }
}

/** Returns what says whether a message may go back. It is compiled once. */
function judge() {
  if (kind === "ws") return () => true;
  const allows = kind === "ws+ajv" ? new (ajv())().compile(JSON.parse(schema)) : () => true;
  return (data) => {
    try {
      return allows(JSON.parse(data));
    } catch {
      return false;
    }
  };
}

const accepts = judge();
const server = new WebSocketServer({ host, port: 0, maxPayload: 64 * 1024 });
server.on("connection", (socket) => {
  socket.on("error", () => socket.terminate());
  socket.on("message", (data, isBinary) => {
    if (isBinary || !accepts(data)) {
      socket.close(1008, "schema_violation");
    } else {
      socket.send(data, { binary: false });
    }
  });
});
server.on("listening", () => {
  const version = (name) => require(`${name}/package.json`).version;
  console.log(`${server.address().port} Node ${process.versions.node}, ws ${version("ws")}, ajv ${version("ajv")}`);
});
process.stdin.on("end", () => process.exit()).resume();
