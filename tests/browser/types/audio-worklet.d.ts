// What an AudioWorklet's own global scope has, which TypeScript's library of the page leaves out.
declare const sampleRate: number;
declare const currentTime: number;
declare const currentFrame: number;

declare class AudioWorkletProcessor {
  constructor(options?: AudioWorkletNodeOptions);
  readonly port: MessagePort;
}

declare function registerProcessor(name: string, processor: new (options?: any) => AudioWorkletProcessor): void;
