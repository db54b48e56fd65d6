// Before anything is painted: the theme that was chosen, if one was. Without a choice the system's is followed.
{
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
