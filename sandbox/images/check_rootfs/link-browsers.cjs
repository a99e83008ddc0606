// Put Debian's chromium wherever this version of Playwright looks for Chromium. Playwright itself names
// the paths, since their spelling differs between versions and machines.
const { mkdirSync, symlinkSync, writeFileSync } = require('node:fs')
const { dirname, join, relative } = require('node:path')
const { chromium } = require('playwright-core')

const BROWSERS = process.env.PLAYWRIGHT_BROWSERS_PATH
const MISSING = /Executable doesn't exist at (\S+)/

function link(path) {
  const [folder] = relative(BROWSERS, path).split('/')
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync('/usr/bin/chromium', path)
  writeFileSync(join(BROWSERS, folder, 'INSTALLATION_COMPLETE'), '')
  console.log(`linked ${path}`)
}

// Without a window Playwright may start another program, which only its complaint names.
async function linkAndLaunch(linked) {
  try {
    const browser = await chromium.launch()
    console.log(`launched Chromium ${browser.version()}`)
    await browser.close()
  } catch (failure) {
    const missing = MISSING.exec(failure.message)?.[1]
    if (!missing || linked.includes(missing)) throw failure
    link(missing)
    await linkAndLaunch([...linked, missing])
  }
}

const withWindow = chromium.executablePath()
link(withWindow)
linkAndLaunch([withWindow])
