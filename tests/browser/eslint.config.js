// What `make test-browser` asks of the page's modules and of these tests, beside what tsc checks.
import js from "@eslint/js";

const PAGE = "neuron_whisper/server/web/static/app/**/*.js";
const TESTS = "tests/browser/**/*.js";
const names = (...list) => Object.fromEntries(list.map((name) => [name, "readonly"]));

const NO_MARKUP = "use html`...`: markup made of text is a hole for scripts";
const OWN_SERVER = "the page talks to its own server alone, by relative addresses";
const refuse = (selector, message) => ({ selector, message });

export default [
  js.configs.recommended,
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" }],
      "no-empty": ["error", { allowEmptyCatch: false }],
      "no-var": "error",
      "prefer-const": "error",
      "no-else-return": "error",
      "no-implicit-coercion": ["error", { boolean: false }],
      "max-lines": ["error", { max: 250 }],
      "max-len": ["error", { code: 120, ignoreTemplateLiterals: true }],
    },
  },
  {
    files: [PAGE],
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    rules: {
      "no-undef": "off", // tsc knows the names of the browser
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-console": "error",
      "no-alert": "error",
      "max-depth": ["error", 4],
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: NO_MARKUP },
        { property: "outerHTML", message: NO_MARKUP },
        { property: "insertAdjacentHTML", message: NO_MARKUP },
        { object: "document", property: "write", message: NO_MARKUP },
      ],
      "no-restricted-syntax": [
        "error",
        refuse("JSXElement", "the page has no build"),
        refuse("Property[key.name='dangerouslySetInnerHTML']", NO_MARKUP),
        refuse("TemplateElement[value.raw=/dangerouslySetInnerHTML/]", NO_MARKUP),
        refuse("Literal[value=/^(https?|wss?):\\/\\//]", OWN_SERVER),
        refuse("TemplateElement[value.raw=/(https?|wss?):\\/\\//]", OWN_SERVER),
        refuse("ImportDeclaration[source.value!=/^\\.\\.?\\//]", "import by a relative address: the page has no build"),
      ],
    },
  },
  {
    files: ["**/strings.js"],
    rules: { "max-lines": "off", "max-len": "off" }, // one line a text
  },
  {
    files: [TESTS],
    languageOptions: {
      ecmaVersion: 2024,
      sourceType: "module",
      globals: names(
        ...Object.getOwnPropertyNames(globalThis),
        // in a page
        ...["window", "document", "location", "navigator", "indexedDB", "getComputedStyle", "localStorage"],
        ...["sessionStorage", "requestAnimationFrame", "PerformanceObserver", "innerWidth", "innerHeight", "axe"],
        ...["XMLHttpRequest", "DataTransfer", "DragEvent", "DOMException"],
      ),
    },
  },
];
