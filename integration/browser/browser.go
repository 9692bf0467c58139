// Package browser walks through JupyterLab in headless Chromium: on our server, on ours behind a reverse proxy, and on a stock
// JupyterLab, whose own noise is the measure for ours.
package browser
