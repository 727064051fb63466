`rest.Answer` makes the handler of a route from a function that gets the request as an action does and returns the
answer or an error. `rest.SaveUpload` makes a content unit from the file in the form of another client, such as twine.
`webserver.Negotiate` returns the media type of an answer by the header Accept.
