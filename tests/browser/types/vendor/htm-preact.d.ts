// Types of static/vendor/htm-preact.js, which is htm's preact/standalone.module.js.
import type { VNode } from "preact";

export { h, render, Component, createContext } from "preact";
export type { ComponentChildren, ComponentChild, RefObject, VNode } from "preact";
export {
  useCallback,
  useContext,
  useDebugValue,
  useEffect,
  useErrorBoundary,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "preact/hooks";
export function html(strings: TemplateStringsArray, ...values: unknown[]): VNode<any>;
