// Runs the file of a CloudFront Function unchanged, in a context like CloudFront's: it has the
// language and the module `cloudfront`, but no fetch, timers, process or require, and no eval.
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

// V8 adds these to every context; CloudFront's runtime has none of them.
const NOT_THERE = ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'Intl', 'WeakRef'];

/** A function file; `load` throws if it does not compile or imports an unknown module. */
export class EdgeFunction {
  #source;
  #path;
  #idle = [];

  static async load(path) {
    const loaded = new EdgeFunction(path, readFileSync(path, 'utf8'));
    loaded.#idle.push(await loaded.#instance());
    return loaded;
  }

  constructor(path, source) {
    this.#path = path;
    this.#source = source;
  }

  /** Returns the handler's result and the origin it chose, if any. `readStore` returns raw text. */
  async run(event, readStore) {
    // As on AWS, an instance handles one event at a time.
    const instance = this.#idle.pop() ?? (await this.#instance());
    instance.call = { readStore, origin: null };
    try {
      const result = await instance.handler(event);
      return { result, origin: instance.call.origin };
    } finally {
      this.#idle.push(instance);
    }
  }

  async #instance() {
    const instance = { call: null, handler: null };
    const context = vm.createContext(
      { console: { log: () => {}, error: () => {} } },
      { codeGeneration: { strings: false, wasm: false } },
    );
    vm.runInContext(NOT_THERE.map((name) => `delete globalThis.${name};`).join(''), context);
    const parse = vm.runInContext('JSON.parse', context);
    // The handler has no export: CloudFront finds it by its name, as we do.
    const module = new vm.SourceTextModule(`${this.#source}\nexport { handler };`, {
      context,
      identifier: this.#path,
    });
    await module.link((name) => {
      if (name !== 'cloudfront') throw new Error(`there is no module ${name} in this sandbox`);
      return new vm.SyntheticModule(
        ['default'],
        function () {
          this.setExport('default', cloudfront(instance, parse));
        },
        { context },
      );
    });
    await module.evaluate();
    instance.handler = module.namespace.handler;
    return instance;
  }
}

function cloudfront(instance, parse) {
  return {
    kvs: () => ({
      get: async (key, options) => {
        const text = instance.call.readStore(key);
        if (text === undefined) throw new Error(`KeyNotFound: ${key}`);
        return options?.format === 'json' ? parse(text) : text;
      },
      exists: async (key) => instance.call.readStore(key) !== undefined,
    }),
    updateRequestOrigin: (origin) => {
      if (!origin || typeof origin.domainName !== 'string') {
        throw new Error('updateRequestOrigin: domainName is missing');
      }
      instance.call.origin = {
        host: origin.domainName,
        port: origin.customOriginConfig?.port ?? 443,
        protocol: origin.customOriginConfig?.protocol ?? 'https',
      };
    },
  };
}
