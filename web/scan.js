// SPDX-License-Identifier: MIT
//
// Reads QR codes with the camera, where the browser has BarcodeDetector: Chromium on Android, macOS
// and ChromeOS. Elsewhere canScan() returns false, and the page does not offer to scan.

const PAUSE = 150; // ms between two frames

/** Whether this browser can detect QR codes and use a camera (only in a secure context). */
export async function canScan() {
  try {
    if (!navigator.mediaDevices?.getUserMedia) return false;
    return (await BarcodeDetector.getSupportedFormats()).includes("qr_code");
  } catch {
    return false; // there is no BarcodeDetector, or it does not work
  }
}

export class Scanner {
  #video;
  #run = null; // { stream } while the camera is on or starting

  constructor(video) {
    this.#video = video;
  }

  /** Starts the camera and calls `found(text)` for each code in view until stop(). Rejects with the
   *  DOMException of getUserMedia if there is no camera or no permission. */
  async start(found) {
    this.stop();
    const run = (this.#run = { stream: null });
    try {
      await this.#open(run);
      await this.#look(run, new BarcodeDetector({ formats: ["qr_code"] }), found);
    } catch (error) {
      if (run === this.#run) throw error; // after stop() nobody needs the error
    }
  }

  /** Switches the camera off. */
  stop() {
    if (this.#run?.stream) end(this.#run.stream);
    this.#run = null;
    this.#video.srcObject = null;
  }

  async #open(run) {
    run.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (run !== this.#run) return end(run.stream); // stopped before the camera was on
    this.#video.srcObject = run.stream;
    return this.#video.play();
  }

  async #look(run, detector, found) {
    while (run === this.#run) {
      const codes = await detector.detect(this.#video).catch(() => []); // no frame yet
      for (const { rawValue } of codes) if (run === this.#run) found(rawValue);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }
}

function end(stream) {
  stream.getTracks().forEach((track) => track.stop());
}
