for (const place of document.querySelectorAll(".tex")) {
  const displayMode = place.classList.contains("display");
  katex.render(place.textContent, place, { displayMode, throwOnError: false });
  place.classList.remove("tex");
}
