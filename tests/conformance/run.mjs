// Runs the HTTP cache tests: their origin and their client in one process, and what each test
// said as JSON in a file. Takes one argument, JSON:
//   suite       directory of the http-cache-tests package
//   base        URL of the cache under test
//   socket      descriptor of the listening socket that the origin takes
//   port        port of that socket
//   ids         ids of the tests to run, with those that they depend on; none: all
//   dump        whether to show each request and response, on stderr
//   timeout_ms  how long one request may take
//   out         the file to write
import fs from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import os from 'node:os'
import { pathToFileURL } from 'node:url'

const options = JSON.parse(process.argv[2])
const load = path => import(pathToFileURL(`${options.suite}/${path}`))
console.log = console.error

await startOrigin()
const all = (await load('tests/index.mjs')).default.flatMap(group => group.tests)
const selected = select(all, options.ids).filter(test => test.browser_only !== true)
if (options.dump) selected.forEach(test => { test.dump = true })

const fetch = createRequire(`${options.suite}/package.json`)('node-fetch')
const patient = (url, init) => fetch(url, { timeout: options.timeout_ms, ...init })
await answers()

const { runTests, getResults } = await load('client/runner.mjs')
await runTests([{ tests: selected }], patient, false, options.base)
const results = getResults()
const cases = selected.map(({ id, name, kind, depends_on: dependsOn }) => (
  { id, name, kind, depends_on: dependsOn, result: results[id] }
))
fs.writeFileSync(options.out, JSON.stringify(cases))
process.exit(0)

// The origin is a module that listens when it is loaded, on all interfaces: give it our socket.
async function startOrigin () {
  const listen = net.Server.prototype.listen
  net.Server.prototype.listen = function () { return listen.call(this, { fd: options.socket }) }
  process.env.npm_config_protocol = 'http'
  process.env.npm_config_port = String(options.port)
  process.env.npm_config_pidfile = os.devNull
  await load('server/server.mjs')
}

// A server listens before its app is loaded: wait for an answer of the origin's by way of it.
async function answers () {
  const deadline = Date.now() + options.timeout_ms
  for (let said = ''; !said.includes('State not found');) {
    try {
      said = await (await patient(`${options.base}/state/none`)).text()
    } catch (error) {
      said = error.message
    }
    if (Date.now() > deadline) {
      console.error(`The server does not pass on what the origin says: ${said}`)
      process.exit(2)
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

function select (tests, ids) {
  if (ids.length === 0) return tests
  const known = new Map(tests.map(test => [test.id, test]))
  const wanted = new Set(ids)
  for (const id of wanted) { // a set that grows is walked to its new end
    if (!known.has(id)) {
      console.error(`There is no test ${id}.`)
      process.exit(2)
    }
    (known.get(id).depends_on || []).forEach(other => wanted.add(other))
  }
  return tests.filter(test => wanted.has(test.id))
}
